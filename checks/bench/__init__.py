"""Measures the cost of tracing in one run: no tracing, the stock instrumentations, and this project's library."""
