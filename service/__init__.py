"""The traced web-crawl services, and the tracing library they share."""
