"""The catalogue of faults: what each changes in the local stack, where it shows, and how it is undone."""
