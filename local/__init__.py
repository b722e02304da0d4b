"""A real single-node Kubernetes on this machine, made from package registries alone."""
