"""The cluster: client, server-side apply, inventory, waiting for readiness, diagnosis, ownership of objects."""
