"""Access to the gateway: API keys, tokens of an identity provider, and limits of each caller."""
