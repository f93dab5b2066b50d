"""The files of a built source: their layout, writing them all or not at all, and reading one feature."""
