"""The ports in plain dictionaries, for tests and for reading; everything is gone with the process."""
