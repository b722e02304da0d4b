"""A rollout brings a changed image or changed tracing to the traffic in steps; each step must pass the gate."""
