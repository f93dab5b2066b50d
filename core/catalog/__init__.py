"""What is here: manifests read from the data roots, and the forgiving reader of pasted ids."""
