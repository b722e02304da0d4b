"""The cluster that `make up` uses: the compiled one of `local`, one of kind, k3d or minikube, or one of the user."""
