"""Implement the application's ports: in every backend the same file names, one for each port."""
