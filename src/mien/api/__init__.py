"""The application over HTTP: REST routes, the page, and what keeps both safe."""
