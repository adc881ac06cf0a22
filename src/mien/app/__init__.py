"""The application: what users of Mien can do, on three ports."""
