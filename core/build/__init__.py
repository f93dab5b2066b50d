"""From a configuration to complete sources: one pass of the model, then exact look-ups over the non-zeros."""
