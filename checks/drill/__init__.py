"""The drill: a fault in the local stack, and an engineer who finds the hop that fails and the cause."""
