"""Show Mien on photos from a package registry; nothing here knows what they will be recognised as."""
