"""The gateway: where users submit tasks and read them, and where their traces begin."""
