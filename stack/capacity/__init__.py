"""Capacity: what a stack needs for a load, computed from figures that the benchmarks of this repository measured."""
