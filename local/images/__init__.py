"""The images that the stack runs, made on this machine where no registry can be reached."""
