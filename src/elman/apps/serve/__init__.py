"""The OpenAI-compatible server, and the playground."""
