"""What several components use: sizes, pods, workloads, metadata."""
