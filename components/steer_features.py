"""What is known of a feature or a direction that steers, without running a model. Knows nothing of Streamlit."""

from __future__ import annotations

from components import markup
from components.steer_view import Feature
from core.errors import NotFound
from core.records import FeatureKey, FeatureRecord
from core.workbench import Workbench


def feature(bench: Workbench, key: FeatureKey) -> Feature:
    """A feature of a source, or a direction that somebody brought.

    Raises:
        NotFound: there is none such.
    """
    try:
        own = bench.vector(key)
        return Feature(key=key, label=own.label, maximum=None, hook=own.hook, strength=own.strength)
    except NotFound:
        source = bench.source(key.source)
    if key.index >= source.width:
        raise NotFound(f"{key.source} has features 0 to {source.width - 1}; there is no {key.index}.")
    if "dashboards" not in source.has:
        return Feature(key=key, label="", maximum=0.0, hook=source.hook_out or source.hook)
    record = bench.feature(key)
    return Feature(key=key, label=markup.title(record), maximum=record.maximum, hook=source.hook_out or source.hook)


def usual(record: FeatureRecord) -> float:
    """The strength to begin with, of a feature whose page is at hand."""
    source = record.source
    known = Feature(key=record.key, label=record.label, maximum=record.maximum, hook=source.hook_out or source.hook)
    return known.usual("add")
