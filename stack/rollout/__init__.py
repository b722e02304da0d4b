"""`make rollout`: a changed image or tracing reaches the traffic in steps; what the system shows lets it on."""
