"""The flows of the application on three ports."""
