"""Whether the pods of the services reach their dependencies: each connection, tried from the pod itself."""
