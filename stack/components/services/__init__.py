"""The gateway, the task-manager and the web-crawler."""
