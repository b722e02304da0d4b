"""What the stack needs from the cluster, and the namespace that it is deployed to."""
