"""Run on one machine, without account or network: files, SQLite, and Mien's own engine and gallery."""
