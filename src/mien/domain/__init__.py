"""Define the values, errors and rules that all other packages share, and import nothing else of Mien."""
