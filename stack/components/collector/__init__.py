"""The Collectors that receive the services' telemetry, and the samplers that decide which traces are stored."""
