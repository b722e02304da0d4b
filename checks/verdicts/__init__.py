"""Simulated rollouts, judged by the code that judges real ones: how often a verdict is wrong."""
