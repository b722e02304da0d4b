"""What a rollout brings to the traffic: its versions, its steps, and the journal of how far it is."""
