"""Store the gallery in an SQLite database, the source of truth."""
