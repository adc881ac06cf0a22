"""One machine, no account, no network: files, SQLite and our own engine."""
