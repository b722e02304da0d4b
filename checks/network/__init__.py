"""Whether each pod of the local stack reaches what the table of connections names, and nothing else."""
