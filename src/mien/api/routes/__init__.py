"""Group the routes, one module for each subject."""
