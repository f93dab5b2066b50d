"""Writes a Hugging Face Space: the code it needs, the data it shows, and what to say of both."""

from core.space.write import SpaceRecord, write_space

__all__ = ["SpaceRecord", "write_space"]
