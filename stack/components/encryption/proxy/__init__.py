"""A proxy (HAProxy) in the pod of a program that has no TLS or no tokens of its own."""
