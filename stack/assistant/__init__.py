"""Read-only access of an assistant to a running stack, over the Model Context Protocol (MCP)."""
