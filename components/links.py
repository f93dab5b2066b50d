"""The addresses of pages. Knows the URL parameters' names and nothing else; `controls` reads them back."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from core.records import FeatureKey, SourceKey

EMBEDDABLE = frozenset({"feature"})
"""Pages that take `embed=true`; no other is ever shown in a stranger's frame."""
EMBED_PARTS = ("plots", "explanation", "test", "testfield", "steer", "activations", "link")
"""Parts of an embedded page, each switched off by Neuronpedia's `embed<part>=false`."""
TEST_TEXT = "defaulttesttext"
"""Neuronpedia's name for the texts of the test box; may stand several times."""


def _address(path: str, *pairs: tuple[str, str]) -> str:
    query = urlencode(pairs, quote_via=quote, safe="/")
    return f"{path}?{query}" if query else path


def page(name: str, *pairs: tuple[str, str]) -> str:
    """Any page by its name, with what it is asked for."""
    return _address(f"/{name}", *pairs)


def feature(key: FeatureKey | str, *texts: str) -> str:
    """The page of a feature, with texts in its test box."""
    return _address("/feature", ("id", str(key)), *((TEST_TEXT, text) for text in texts))


def random_feature(key: SourceKey | None = None) -> str:
    """A link that leads to another feature at every click."""
    return _address("/feature", ("random", "any" if key is None else str(key)))


def model(model_id: str) -> str:
    """The page of a model."""
    return _address("/model", ("id", model_id))


def release(name: str) -> str:
    """The page of a release."""
    return _address("/release", ("name", name))


def source_set(model_id: str, set_name: str) -> str:
    """The page of a source set."""
    return _address("/set", ("model", model_id), ("set", set_name))


def source(key: SourceKey | str, **view: str) -> str:
    """The page of a source, with its table's view (filter, order, page)."""
    return _address("/source", ("id", str(key)), *((name, value) for name, value in view.items() if value))


def search(**view: str) -> str:
    """The search page, with its view: model, text, sources, tokens, sort and so on."""
    return _address("/search", *((name, value) for name, value in view.items() if value))


def scan(key: FeatureKey | str, sentence: str = "", words: str = "", order: str = "") -> str:
    """The page of a feature's substitution scan; `words` have commas between."""
    view = {"sentence": sentence, "words": words, "order": order}
    return _address("/scan", ("id", str(key)), *((name, value) for name, value in view.items() if value))


def steer(key: FeatureKey | None = None, strength: float | None = None, prompt: str = "", **view: str) -> str:
    """The steering page: with one feature, or with its whole view (features, prompt, method and so on).

    Without a strength the page takes one that shows something.
    """
    own = {}
    if key is not None:
        amount = "" if strength is None else f":{strength:.12g}"
        own = {"model": key.model_id, "features": f"{key.source_id}/{key.index}{amount}"}
    return _address("/steer", *((name, value) for name, value in (own | {"prompt": prompt} | view).items() if value))
