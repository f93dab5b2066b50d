"""Annotations computed from the data: what a feature's activations have in common, with no model and no network."""
