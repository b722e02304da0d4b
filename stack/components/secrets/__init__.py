"""The Secret of the stack, and the pods that are replaced when a value in it changes."""
