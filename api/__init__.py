"""The JSON API: parse, call `core.workbench`, serialise. Nothing is computed here."""
