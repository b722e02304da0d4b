"""The facts that services, Collectors, dashboards and stack share. The package imports nothing else of the project."""
