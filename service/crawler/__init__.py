"""The web-crawler: fetches the pages that the task-manager asks for."""
