"""Do what users of Mien can do, on three ports."""
