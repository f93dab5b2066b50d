"""What the page of similar features shows, as a frozen value: from a link, changed into other links. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from components import links
from components.search_view import picked_in, short
from core.atlas.near.records import By
from core.records import FeatureKey, SourceKey, SourceRecord

Shown = Literal["similar", "layers", "family", "wiring", "together", "models"]
"""A list by a measure; twins through the layers; near-duplicates and splits; reads and writes; what fires together with
it; other models."""
THRESHOLDS = {"layers": 0.5, "family": 0.7}
"""Of what has one, unless the link names another."""
BYS: dict[str, tuple[By, ...]] = {"similar": get_args(By), "layers": ("decoder", "encoder", "logits")}
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    key: FeatureKey
    shown: Shown = "similar"
    by: By = "decoder"
    usual: By = "decoder"
    """The measure of a link that names none."""
    sources: tuple[SourceKey, ...] = ()
    """Those looked into; all of the model's if there are none."""
    threshold: float | None = None
    top: int = 20
    window: int = 0
    """Tokens on either side in which another fires “together” with it."""
    picked: tuple[FeatureKey, ...] = ()

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        chosen = self.shown in ("similar", "family")
        return {
            "id": str(self.key),
            "view": "" if self.shown == "similar" else self.shown,
            "by": self.by if self.by != self.usual and self.by in BYS.get(self.shown, ()) else "",
            "in": ",".join(key.source_id for key in self.sources) if chosen else "",
            "least": f"{self.threshold:g}" if self.threshold is not None and self.shown in THRESHOLDS else "",
            "top": str(self.top) if self.top != 20 and self.shown == "similar" else "",
            "window": str(self.window) if self.window and self.shown == "together" else "",
            "picked": ",".join(map(short, self.picked)),
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes."""
        return links.similar(**replace(self, **changes).parameters())

    def picking(self, key: FeatureKey) -> str:
        """The address with a feature picked, or not any more."""
        left = tuple(one for one in self.picked if one != key)
        return self.to(picked=left if len(left) < len(self.picked) else (*self.picked, key))

    @property
    def least(self) -> float:
        """The threshold that holds."""
        return self.threshold if self.threshold is not None else THRESHOLDS.get(self.shown, 0.0)

    def address(self, kind: str) -> str:
        """Where the API has the same, as JSON or CSV."""
        by = self.by if self.by != "decoder" and self.shown in BYS else ""
        pairs = [("view", "" if self.shown == "similar" else self.shown), ("by", by)]
        pairs += [("in", self.parameters()["in"]), ("top", self.parameters()["top"])]
        pairs += [("threshold", self.parameters()["least"]), ("format", "" if kind == "json" else kind)]
        return links.page(f"api/similar/{self.key}", *(pair for pair in pairs if pair[1]))

    def python(self) -> str:
        """The line that gets the same in a notebook."""
        begin = f'from core.workbench import Workbench; record = Workbench().atlas.{_JOBS[self.shown]}("{self.key}"'
        more = f', by="{self.by}"' if self.by != "decoder" and self.shown in BYS else ""
        if self.sources and self.shown in ("similar", "family"):
            more += f", sources={[key.source_id for key in self.sources]}".replace("'", '"')
        if self.window and self.shown == "together":
            more += f", window={self.window}"
        if self.threshold is not None and self.shown in THRESHOLDS:
            more += f", threshold={self.threshold:g}"
        return f"{begin}{more})"


_JOBS = {
    "similar": "similar", "layers": "chain", "family": "family", "wiring": "wiring", "together": "together",
    "models": "similar",
}  # fmt: skip


def read(query: Mapping[str, str], key: FeatureKey, records: Sequence[SourceRecord]) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it; `records` are the sources of the feature's model."""
    wrong: list[str] = []

    own = next((record for record in records if record.key == key.source), None)
    bare = own is not None and not {"weights", "vectors"} & set(own.has)  # an import: what is said of it is there

    def word(name: str, options: Sequence[str], about: str = "") -> Any:
        value = query.get(name, "").strip()
        if value and value not in options:
            wrong.append(f"“{value[:60]}” is not a value of “{name}” in a link{about}: {', '.join(options)} are.")
        return value if value in options else options[0]

    shown = word("view", get_args(Shown))
    usual: By = "explanation" if bare and shown == "similar" else "decoder"
    known = {record.key.source_id: record.key for record in records}
    named = [part.strip().removeprefix(f"{key.model_id}/") for part in query.get("in", "").split(",") if part.strip()]
    for name in (name for name in named if name not in known):
        wrong.append(f"There is no source “{name[:80]}” of {key.model_id} here. There is: {', '.join(known)}.")
    view = View(
        key=key,
        shown=shown,
        by=word("by", BYS[shown], f" to {shown}") if shown in BYS and query.get("by", "").strip() else usual,
        usual=usual,
        sources=tuple(dict.fromkeys(known[name] for name in named if name in known)),
        threshold=_number(query.get("least", ""), "least", "a cosine above 0 and at most 1", 0, 1, wrong),
        top=int(_number(query.get("top", ""), "top", f"a number of results, 1 to {MOST}", 0, MOST, wrong) or 20),
        window=int(_number(query.get("window", ""), "window", "a number of tokens, 1 to 64", 0, 64, wrong) or 0),
        picked=picked_in(query.get("picked", ""), key.model_id, records, wrong),
    )
    return view, wrong


def _number(text: str, name: str, about: str, above: float, most: float, wrong: list[str]) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = above
    if above < value <= most:
        return value
    wrong.append(f"“{name}” of the link is {about}; “{text[:60]}” is not.")
    return None
