"""Programs that prove on a running stack, or measure, what the project promises."""
