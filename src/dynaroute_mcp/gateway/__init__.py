"""The OpenAI-compatible HTTP gateway: decode, ask the core, encode. It decides nothing about models or money."""
