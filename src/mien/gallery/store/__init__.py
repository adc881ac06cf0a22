"""The SQLite database of the gallery: the source of truth."""
