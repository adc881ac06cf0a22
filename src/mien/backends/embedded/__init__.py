"""One machine, no account, no network: files, SQLite, and Mien's own engine and gallery."""
