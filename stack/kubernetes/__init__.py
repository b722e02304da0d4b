"""The Kubernetes API: client, server-side apply, waiting, ownership of objects."""
