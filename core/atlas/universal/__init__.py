"""What features have in common with those of other models, over the bytes of a text that both read."""
