"""Real programs and receivers that checks and tests start."""
