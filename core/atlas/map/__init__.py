"""Maps of whole dictionaries: where each feature lies, clusters and their names, and how a browser draws them."""
