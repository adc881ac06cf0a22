"""The ports in dictionaries, for tests and as the simplest implementation to read; nothing outlives the process."""
