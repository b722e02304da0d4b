"""The NetworkPolicies of a stack, derived from the table of its connections."""
