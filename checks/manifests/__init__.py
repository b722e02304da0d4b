"""The manifests of all stacks, through checkers that others maintain; each remaining finding has an answer."""
