"""The addresses of pages. Knows the URL parameters' names and nothing else; `controls` reads them back."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from core.records import FeatureKey, SourceKey

EMBEDDABLE = frozenset({"feature", "list"})
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


def list_(id: str, text: str = "", **view: str) -> str:
    """The page of a list, with a text that is run over its features."""
    return _address("/list", ("id", id), *((name, value) for name, value in ({"text": text} | view).items() if value))


def person(name: str) -> str:
    """The page of a person."""
    return _address("/person", ("name", name))


def quick_list(keys: Sequence[FeatureKey], name: str = "", text: str = "") -> str:
    """A list that is not kept, from its address alone, with a text that is run over its features."""
    said = [(part, value) for part, value in (("name", name), ("text", text)) if value]
    return _address("/quick-list", *said, ("features", ",".join(map(str, keys))))


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


def meaning(**view: str) -> str:
    """The page of search by meaning, with its view: q, model, sources, rank, density, score and so on."""
    return _address("/meaning", *((name, value) for name, value in view.items() if value))


def map_(**view: str) -> str:
    """The page of maps, with its view: sources, of, colour, q, view, at."""
    return _address("/map", *((name, value) for name, value in view.items() if value))


def similar(**view: str) -> str:
    """The page of what is like a feature, with its view: id, view, by, in, least, picked."""
    return _address("/similar", *((name, value) for name, value in view.items() if value))


def compare(**view: str) -> str:
    """The page of comparisons, with its view: model and sources (or ids of two features), threshold, pair, text."""
    return _address("/compare", *((name, value) for name, value in view.items() if value))


def quality(key: SourceKey | str, **view: str) -> str:
    """How good a source is; with what its features split into: wide, threshold, page."""
    return _address("/quality", ("source", str(key)), *((name, value) for name, value in view.items() if value))


def leaderboard(**view: str) -> str:
    """All sources by how good they are, with its view: models, kinds, q, part, sort, x, y and so on."""
    return _address("/leaderboard", *((name, value) for name, value in view.items() if value))


def scan(key: FeatureKey | str, sentence: str = "", words: str = "", order: str = "") -> str:
    """The page of a feature's substitution scan; `words` have commas between."""
    view = {"sentence": sentence, "words": words, "order": order}
    return _address("/scan", ("id", str(key)), *((name, value) for name, value in view.items() if value))


def universal(key: SourceKey | str, other: SourceKey | str | None = None, **view: str) -> str:
    """What a source has in common with those of other models, or with one of them; with its view: by, mutual, page."""
    said = {"other": str(other or "")} | view
    return _address("/universal", ("id", str(key)), *((name, value) for name, value in said.items() if value))


def graph(**view: str) -> str:
    """The page of attribution graphs, with its view: model and slug, or model, text, set, target, nodes, edges."""
    return _address("/graph", *((name, value) for name, value in view.items() if value))


def circuit(**view: str) -> str:
    """A prompt's circuit, with its view: model, text, target, against, feature, position, node and so on."""
    return _address("/circuit", *((name, value) for name, value in view.items() if value))


def head(**view: str) -> str:
    """The page of an attention head, with its view: id, text, position, attended, show."""
    return _address("/head", *((name, value) for name, value in view.items() if value))


def heads(model_id: str, sort: str = "") -> str:
    """Every attention head of a model, in an order."""
    return _address("/heads", ("id", model_id), *((("sort", sort),) if sort else ()))


def pair(**view: str) -> str:
    """Two prompts compared, with the view: model, clean, corrupted, target, against, sources, curve and so on."""
    return _address("/pair", *((name, value) for name, value in view.items() if value))


def template(**view: str) -> str:
    """A set of prompts from a template, with the view: model, template, fill, at, sources, prompts, seed."""
    return _address("/template", *((name, value) for name, value in view.items() if value))


def probe(key: FeatureKey | str | None = None) -> str:
    """The page of a probe, or the one on which probes are trained."""
    return _address("/probe", ("id", str(key))) if key is not None else "/probe"


def steer_with(key: FeatureKey, strength: float) -> str:
    """The page that steers with one feature or direction, at a strength."""
    return _address("/steer", ("model", key.model_id), ("features", f"{key.source_id}/{key.index}:{strength:g}"))


def redteam(key: FeatureKey | str, hypothesis: str = "", **view: str) -> str:
    """The page on which a hypothesis about a feature is tested, with its view: share, seed, writer and so on."""
    said = {"hypothesis": hypothesis} | view
    return _address("/redteam", ("id", str(key)), *((name, value) for name, value in said.items() if value))


def steer(key: FeatureKey | None = None, strength: float | None = None, prompt: str = "", **view: str) -> str:
    """The steering page: with one feature, or with its whole view (features, prompt, method and so on).

    Without a strength the page takes one that shows something.
    """
    own = {}
    if key is not None:
        amount = "" if strength is None else f":{strength:.12g}"
        own = {"model": key.model_id, "features": f"{key.source_id}/{key.index}{amount}"}
    return _address("/steer", *((name, value) for name, value in (own | {"prompt": prompt} | view).items() if value))


def suite(id: str) -> str:
    """The page of a test suite."""
    return _address("/suite", ("id", id))


def new_suite(key: FeatureKey | str, *texts: str) -> str:
    """The page on which a feature's test suite is made, with texts to begin with."""
    return _address("/suite", ("feature", str(key)), *((TEST_TEXT, text) for text in texts))


def activity(page: int = 1) -> str:
    """What people did lately."""
    return _address("/activity", *([("page", str(page))] if page > 1 else []))
