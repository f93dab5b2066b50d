"""Everything that made the built-in demo, from the corpus to the built sources, in the order of `make_demo.py`."""
