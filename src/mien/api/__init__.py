"""Offer the application over HTTP: REST routes, the web page, and what keeps both safe."""
