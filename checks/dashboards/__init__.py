"""`make dashboards-check`: every query of every dashboard, run against a stack; every link, followed; one report."""
