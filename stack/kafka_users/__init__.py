"""Keeps the users, the rights and the certificates of the stack's own Kafka as the stack declares them."""
