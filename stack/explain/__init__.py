"""From an alert to its cause: what `wct explain` prints."""
