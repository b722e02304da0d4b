"""Time to detect: faults are put into the running local stack, and the alert that must tell of each is awaited."""
