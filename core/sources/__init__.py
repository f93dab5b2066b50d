"""Dictionaries over a hook point behind one interface: SAEs, transcoders, neurons and directions."""
