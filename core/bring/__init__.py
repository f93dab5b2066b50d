"""Bringing a source in by page or API: what it is, whether it reconstructs, and its build in the background."""
