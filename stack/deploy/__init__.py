"""From the program to the cluster: engines, rendering, drift, removal, policy."""
