"""Manage API keys, sign tokens and limit rates."""
