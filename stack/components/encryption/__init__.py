"""TLS between the pods of a stack: its own certificate authority, and the certificates of its servers."""
