"""One request through the front door and the match of its trace: what the smoke check and the probe share."""
