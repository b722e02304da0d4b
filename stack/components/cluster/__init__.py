"""The stack's requirements of the cluster, and the namespace that it is deployed to."""
