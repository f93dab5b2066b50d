"""The built-in demo: a small language model, its SAEs, their built data, and what made them."""
