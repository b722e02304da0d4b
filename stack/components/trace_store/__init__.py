"""The trace store: Tempo in one process, Tempo in parts, or Jaeger."""
