"""A self-hosted router for language models."""
