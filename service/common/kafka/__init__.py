"""Kafka for the services: a publisher that waits for acknowledgements, and a consumer that handles each message."""
