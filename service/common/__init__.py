"""Code that the three services share: Kafka, HTTP, health, metrics, and the messages that they exchange."""
