"""Dictionaries over a hook point behind one interface: SAEs and neurons."""
