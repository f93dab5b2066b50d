"""Language models: their vocabulary, loading them, one pass with hooks, and what the process holds."""
