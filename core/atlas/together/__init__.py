"""What fires together, from activation stores or what is kept of them; sources and features compared."""
