"""Losses of nodes, zones, pods and stores, and updates, on a production-like stack of several nodes under load."""
