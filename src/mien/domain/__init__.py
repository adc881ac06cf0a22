"""Values, errors and rules that all other packages share; imports nothing else of Mien."""
