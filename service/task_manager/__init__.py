"""The task-manager: stores crawl tasks, requests the crawl of their pages, and stores the results."""
