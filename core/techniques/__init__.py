"""One technique a file: a function from a model and a key to a frozen record."""
