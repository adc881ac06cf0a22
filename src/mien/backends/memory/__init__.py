"""Implement the ports in dictionaries, for tests and as the simplest backend to read; nothing outlives the process."""
