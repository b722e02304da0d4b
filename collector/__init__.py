"""The Collector's pipeline: one template, a pure function that renders it, and the distribution's manifest."""
