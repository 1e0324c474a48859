"""The eleven tools, resources and prompts over MCP."""
