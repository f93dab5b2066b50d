"""Features seen together: which are alike, which fire together, how sources compare, and maps of whole dictionaries."""
