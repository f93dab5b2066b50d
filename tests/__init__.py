"""The tests mirror the tree. `tiny` makes a model and sources from nothing; `live` runs the server."""
