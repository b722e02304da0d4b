"""The Pulumi program: typed settings in, one component a file, manifests or a running stack out."""
