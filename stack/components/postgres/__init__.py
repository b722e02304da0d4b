"""PostgreSQL, the database of the tasks."""
