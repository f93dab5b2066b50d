"""What the pages of attention heads show, as frozen values: from a link, changed into other links. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from components import links
from core.errors import BadInput
from core.records import ModelRecord
from core.techniques.heads.records import HeadKey

Show = Literal["pattern", "moved"]
"""Of a pattern: how much it attends, or the length of what that moves."""
Sort = Literal["layer", "previous", "duplicate", "induction", "text", "bos", "itself", "distance"]
SORTS: tuple[Sort, ...] = get_args(Sort)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of a head's page."""

    key: HeadKey
    text: str = ""
    position: int | None = None
    """From which it looks; the last, if none is named."""
    attended: int | None = None
    """At which it looks; its strongest but BOS, if none is named."""
    show: Show = "pattern"

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        return {
            "id": str(self.key), "text": self.text,
            "position": "" if self.position is None else str(self.position),
            "attended": "" if self.attended is None else str(self.attended),
            "show": "" if self.show == "pattern" else self.show,
        }  # fmt: skip

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; another token from which it looks has another that it looks at."""
        fresh: dict[str, Any] = {}
        if {"text", "key"} & set(changes):
            fresh = {"attended": None}
        if "text" in changes:
            fresh |= {"position": None}
        if "position" in changes:
            fresh = {"attended": None}
        return links.head(**replace(self, **(fresh | changes)).parameters())

    def python(self) -> str:
        """The line that gets the same in a notebook."""
        asked = f"{str(self.key)!r}, {self.text!r}" if self.text else repr(str(self.key))
        where = "".join(
            f", {name}={value}"
            for name, value in (("position", self.position), ("attended", self.attended))
            if value is not None and self.text
        )
        job = "active" if self.text else "of"
        return f"from core.workbench import Workbench; record = Workbench().heads.{job}({asked}{where})"


def read(query: Mapping[str, str], key: HeadKey) -> tuple[View, list[str]]:
    """The view of a head that a link names, and what was wrong with it."""
    wrong: list[str] = []
    show = query.get("show", "").strip() or "pattern"
    if show not in get_args(Show):
        wrong.append(f"“{show[:40]}” is not a value of “show” in a link: {', '.join(get_args(Show))} are.")
        show = "pattern"
    text = query.get("text", "")
    return View(
        key=key, text=text if text.strip() else "", position=_place(query, "position", wrong),
        attended=_place(query, "attended", wrong), show=show,  # type: ignore[arg-type]
    ), wrong  # fmt: skip


def within(view: View, tokens: int) -> tuple[View, list[str]]:
    """The view with the tokens that its text has, and which it lacks."""
    wrong: list[str] = []
    if view.position is not None and view.position >= tokens:
        wrong.append(f"The text has tokens 0 to {tokens - 1}; there is no {view.position}. The last is taken.")
        view = replace(view, position=None)
    last = tokens - 1 if view.position is None else view.position
    if view.attended is not None and view.attended > last:
        wrong.append(f"Token {last} looks at tokens up to itself, not at {view.attended}; its strongest is taken.")
        view = replace(view, attended=None)
    return view, wrong


def head_key(text: str, models: Mapping[str, ModelRecord]) -> HeadKey:
    """The head that a link names.

    Raises:
        BadInput: it names none, or none of a model that is here.
    """
    key = HeadKey.parse(text)
    model = models.get(key.model_id)
    if model is None:
        raise BadInput(f"There is no model “{key.model_id[:60]}” here. There is: {', '.join(models)}.")
    if key.layer >= model.layers or key.head >= model.heads:
        raise BadInput(
            f"{key.model_id} has layers 0 to {model.layers - 1} with heads 0 to {model.heads - 1} each; there is no "
            f"{key.name}."
        )
    return key


def sort(query: Mapping[str, str]) -> tuple[Sort, list[str]]:
    """The order of the table of heads, and what was wrong with it."""
    asked = query.get("sort", "").strip() or "layer"
    for one in SORTS:
        if one == asked:
            return one, []
    return "layer", [f"“{asked[:40]}” is not a value of “sort” in a link: {', '.join(SORTS)} are."]


def _place(query: Mapping[str, str], name: str, wrong: list[str]) -> int | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 7:
        return int(text)
    wrong.append(f"“{name}” of the link is a token's number, BOS counted; “{text[:40]}” is not.")
    return None
