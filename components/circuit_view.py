"""What the page of circuits shows, as a frozen value: from a link, changed into other links. Draws nothing.

Tokens of a target stand in a link as they are, with their leading space and “|” between several, or by id as #287.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from components import links
from components.search_view import short
from core.errors import WorkbenchError
from core.records import FeatureKey, SourceKey, SourceRecord, Token
from core.techniques.circuits.records import CircuitAsk

Order = Literal["effect", "direct", "norm"]
"""Of the features: by activation × gradient, by the direct effect, by what they write."""
ROWS, MORE = 25, 100
"""Features that are listed."""
ABLATED = 64
"""Of them so many are measured too, which is what one request may have."""
LARGEST = 2000
"""Nodes that the page is given to sort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    model_id: str
    text: str = ""
    target: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    feature: FeatureKey | None = None
    """The target, instead of tokens."""
    position: int | None = None
    sources: tuple[SourceKey, ...] = ()
    node: tuple[FeatureKey, int | None] | None = None
    """The node whose tokens are shown; without a place it is where the feature is strongest."""
    order: Order = "effect"
    bos: bool = False
    """Whether nodes at special tokens are listed."""
    more: bool = False

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        return {
            "model": self.model_id,
            "text": self.text,
            "target": "|".join(self.target),
            "against": "|".join(self.against),
            "feature": "" if self.feature is None else short(self.feature),
            "position": "" if self.position is None else str(self.position),
            "sources": ",".join(key.source_id for key in self.sources),
            "node": "" if self.node is None else _named(*self.node),
            "order": "" if self.order == "effect" else self.order,
            "bos": "1" if self.bos else "",
            "more": "1" if self.more else "",
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; another target or place has other nodes."""
        fresh = {"text", "target", "against", "feature", "position", "sources"} & set(changes)
        return links.circuit(**replace(self, **({"node": None, "more": False} if fresh else {}) | changes).parameters())

    def aiming(self, key: FeatureKey, position: int) -> str:
        """The address with a feature at a token as the target."""
        return self.to(feature=key, position=position)

    def ask(self) -> CircuitAsk:
        """What the workbench is asked; the tokens of a link that names a feature too are those to go back to."""
        own = self.feature is None
        return CircuitAsk(
            model_id=self.model_id, text=self.text, target=self.target if own else (),
            against=self.against if own else (), feature=self.feature, position=self.position, sources=self.sources,
        )  # fmt: skip

    def node_ask(self) -> CircuitAsk:
        """The same about the chosen node."""
        assert self.node is not None
        key, position = self.node
        return replace(self.ask(), target=(), against=(), feature=key, position=position)

    def python(self) -> str:
        """The line that gets the same in a notebook."""
        parts = [f"model_id={self.model_id!r}", f"text={self.text!r}"]
        ask = self.ask()
        parts += [f"{name}={getattr(ask, name)!r}" for name in ("target", "against") if getattr(ask, name)]
        if self.feature is not None:
            parts.append(f"feature=FeatureKey.parse({str(self.feature)!r})")
        if self.position is not None:
            parts.append(f"position={self.position}")
        if self.sources:
            parts.append(f"sources=({' '.join(f'SourceKey.parse({str(key)!r}),' for key in self.sources)})")
        return (
            "from core.records import FeatureKey, SourceKey; from core.techniques.circuits.records import CircuitAsk; "
            "from core.workbench import Workbench; "
            f"record = Workbench().circuits.features(CircuitAsk({', '.join(parts)}))"
        )


def said(token: Token) -> str:
    """A token as a link names it."""
    text = token.text
    plain = text and "|" not in text and "�" not in text and not text.strip().startswith("#") and not token.partial
    return text if plain and not token.special else f"#{token.id}"


def read(
    query: Mapping[str, str], models: Sequence[str], sources: Callable[[str], Sequence[SourceRecord]]
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it. `models` is not empty; its first is the default."""
    wrong: list[str] = []
    asked = query.get("model", "").strip()
    if asked and asked not in models:
        wrong.append(f"There is no model “{asked[:60]}” here that can be run. There is: {', '.join(models)}.")
    model_id = asked if asked in models else models[0]
    known = {record.key.source_id: record.key for record in sources(model_id)}
    text = query.get("text", "")
    feature = _feature(query.get("feature", ""), model_id, known, "feature", wrong)
    chosen = [name.strip().removeprefix(f"{model_id}/") for name in query.get("sources", "").split(",") if name.strip()]
    for name in (name for name in chosen if name not in known):
        wrong.append(f"There is no source “{name[:60]}” of {model_id} with weights here. There is: {', '.join(known)}.")
    order = query.get("order", "").strip() or "effect"
    if order not in get_args(Order):
        wrong.append(f"“{order[:40]}” is not a value of “order” in a link: {', '.join(get_args(Order))} are.")
        order = "effect"
    sides = [_tokens(query.get(name, "")) for name in ("target", "against")]
    if sides[1] and not sides[0]:
        wrong.append("The link names tokens to set against a target, and no target: they are left out.")
        sides = [(), ()]
    return View(
        model_id=model_id, text=text if text.strip() else "", target=sides[0], against=sides[1], feature=feature,
        position=_position(query.get("position", ""), wrong),
        sources=tuple(dict.fromkeys(known[name] for name in chosen if name in known)),
        node=_node(query.get("node", ""), model_id, known, wrong), order=order,  # type: ignore[arg-type]
        bos=query.get("bos") == "1", more=query.get("more") == "1",
    ), wrong  # fmt: skip


def within(view: View, tokens: Sequence[Token]) -> tuple[View, list[str]]:
    """The view with what its text has, and what it lacks."""
    wrong: list[str] = []
    if view.position is not None and view.position >= len(tokens):
        wrong.append(f"The text has tokens 0 to {len(tokens) - 1}; there is no {view.position}. The last is taken.")
        view = replace(view, position=None)
    last = len(tokens) - 1 if view.position is None else view.position
    if view.node is not None and view.node[1] is not None and view.node[1] > last:
        wrong.append(f"The target is read at token {last}, and what comes after it takes no part.")
        view = replace(view, node=None)
    return view, wrong


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace("␣", " ").split("|") if part)[:64]


def _position(text: str, wrong: list[str]) -> int | None:
    text = text.strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 7:
        return int(text)
    wrong.append(f"“position” of the link is a token's number, BOS counted; “{text[:40]}” is not.")
    return None


def _feature(
    text: str, model_id: str, known: Mapping[str, SourceKey], name: str, wrong: list[str]
) -> FeatureKey | None:
    text = text.strip().removeprefix(f"{model_id}/")
    if not text:
        return None
    try:
        found = FeatureKey.parse(f"{model_id}/{text}")
    except WorkbenchError:
        found = None
    if found is None or found.source_id not in known:
        wrong.append(
            f"“{name}” of the link names no feature of {model_id} with weights here; “{text[:60]}” is left out."
        )
        return None
    return found


def _node(
    text: str, model_id: str, known: Mapping[str, SourceKey], wrong: list[str]
) -> tuple[FeatureKey, int | None] | None:
    key, _, place = text.partition("@")
    found = _feature(key, model_id, known, "node", wrong)
    return None if found is None else (found, _position(place, wrong))


def _named(key: FeatureKey, position: int | None) -> str:
    return short(key) if position is None else f"{short(key)}@{position}"


def of_feature(key: FeatureKey, text: str, position: int | None = None) -> str:
    """The address on which a text's output is taken apart, with one feature of it chosen."""
    return View(model_id=key.model_id, text=text, node=(key, position)).to()
