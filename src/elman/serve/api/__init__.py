"""The OpenAI-compatible completions API."""
