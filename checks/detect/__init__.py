"""Time to detect: injects faults into the local stack, and waits for the alert that must report each."""
