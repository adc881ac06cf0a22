"""API keys, signed tokens and rate limits."""
