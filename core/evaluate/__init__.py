"""How good a source is: measuring it, and where the figures are kept."""
