"""What the services, the Collectors, the dashboards and the stack share; imports nothing else of the project."""
