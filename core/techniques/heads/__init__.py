"""Attention heads, one by one: where they look, what they are called, which features they read and write."""
