"""Everything the workbench knows. Pages, API, embeds, command line and notebooks enter by `core.workbench`."""

__version__ = "0.1.0"
