"""The Pulumi components, one a module."""
