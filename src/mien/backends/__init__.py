"""What carries the application: the same three files in every backend, one per port."""
