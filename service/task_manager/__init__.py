"""The task-manager: stores crawl tasks, has their pages fetched, and follows them to their end."""
