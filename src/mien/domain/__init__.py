"""Values, errors and rules that every other package speaks in; imports nothing else of Mien."""
