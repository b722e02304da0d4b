"""Parts that several components use: sizes, pods, workloads, metadata."""
