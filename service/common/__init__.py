"""What the three services share: wiring of Kafka and HTTP, health, metrics, and the messages they exchange."""
