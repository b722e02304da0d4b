"""The images of the stack, built on this machine if no registry answers."""
