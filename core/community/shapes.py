"""What a row of each table may hold, checked where rows come from a file and not from a job.

The same bounds as the constraints of `supabase/migrations`; the numbers are those of `core.community.limits`.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import uuid
from collections.abc import Callable
from typing import Any

from core.community import limits
from core.community.protocol import Row
from core.errors import BadInput
from core.records import FeatureKey

Check = Callable[[Any], Any]
"""Gives a value in the one way that it is written; raises `BadInput`."""
_KINDS = {"feature": "test", "search": "search", "steer": "steer", "scan": "scan"}
_LINK = re.compile(r"/(feature|search|steer|scan)\?[^\s<>\"']+")


def identity(value: Any) -> str:
    """An id."""
    try:
        return str(uuid.UUID(value))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"“{str(value)[:60]}” is no id.") from error


def checked(table: str, row: Row) -> Row:
    """A row with every column and no other, each as it may be; raises `BadInput`."""
    checks = COLUMNS[table]
    row = LATER.get(table, {}) | row
    if row.keys() != checks.keys():
        odd = sorted(row.keys() ^ checks.keys())
        raise BadInput(f"a row of {table} has not these columns: {', '.join(odd)[:200]} (missing or unknown).")
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check(row[name])
        except BadInput as error:
            raise BadInput(f"{name} of {table}: {error}") from error
    _together(table, found)
    return found


def written(table: str, row: Row) -> Row:
    """A row of a store in the one way that an export writes it."""
    return {name: _plain(name, row[name]) for name in COLUMNS[table]}


def _plain(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith("_at"):
        return _time(value)
    if name in {"weight", "threshold", "amount", "agreed"}:
        return float(value)
    if name == "results":
        return [
            {"text": one["text"], "fires": one["fires"], "passed": one["passed"], "why": one.get("why", "")}
            | {"value": None if one["value"] is None else float(one["value"]) + 0.0}
            for one in value
        ]
    if name == "cases":
        return [{"text": one["text"], "fires": one["fires"]} for one in value]
    return identity(value) if name in _IDS else value


def _together(table: str, row: Row) -> None:
    """What columns say only together."""
    if "feature" in row and row["feature"] is not None:
        FeatureKey(row["model_id"] or "", row["source_id"] or "", row["feature"])
    if table in {"stars", "comments"}:
        parts = {row[name] is None for name in ("model_id", "source_id", "feature")}
        if len(parts) > 1 or (row["feature"] is None) == (row["list_id"] is None):
            raise BadInput(f"a row of {table} is on a feature or on a list.")
    if table == "reports" and sum(row[name] is not None for name in ("comment_id", "list_id", "explanation_id")) != 1:
        raise BadInput("a report is on a comment, a list or an explanation.")
    if table == "explanations" and bool(row["text"].strip()) == bool(row["hidden_at"]):
        raise BadInput("an explanation has a text unless it was hidden.")
    hides = table in {"comments", "lists", "explanations"}
    if hides and bool(row["hidden_why"].strip()) != (row["hidden_at"] is not None):
        raise BadInput("what is hidden has a reason, and nothing else has.")
    if table == "comments" and bool(row["body"].strip()) == bool(row["deleted_at"] or row["hidden_at"]):
        raise BadInput("a comment has a text unless it was taken back or hidden.")
    if table == "saved" and _KINDS[row["link"][1 : row["link"].index("?")]] != row["kind"]:
        raise BadInput("the kind of a saved view is not that of its address.")
    if table == "suite_runs" and row["passed"] + row["failed"] != len(row["results"]):
        raise BadInput("a run has another number of results than passed and failed.")


# -- kinds of values ---------------------------------------------------------------------------------------------------


def _text(most: int, *, needed: bool = False, like: re.Pattern[str] | None = None) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise BadInput("it is no text.")
        if "\0" in value or len(value) > most:
            raise BadInput(f"it is longer than {most:,} characters, or has a null character in it.")
        if (needed and not value.strip()) or (like and not like.fullmatch(value)):
            raise BadInput(f"“{value[:60]}” cannot stand there.")
        return value

    return check


def _maybe(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _time(value: Any) -> str:
    try:
        found = datetime.datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError("no zone")
        return found.astimezone(datetime.UTC).isoformat(timespec="microseconds")
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInput(f"“{str(value)[:60]}” is no time with a zone.") from error


def _number(most: float = math.inf, *, above: float = -math.inf) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadInput("it is no finite number.")
        if abs(value) > most or value <= above:
            raise BadInput(f"{value:g} is out of bounds.")
        return float(value)

    return check


def _whole(most: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise BadInput(f"it is no whole number from 0 to {most:,}.")
        return value

    return check


def _word(*words: str) -> Check:
    def check(value: Any) -> str:
        if value not in words:
            raise BadInput(f"“{str(value)[:40]}” is none of {', '.join(words)}.")
        return str(value)

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadInput("it is neither true nor false.")
    return value


def _vote(value: Any) -> int:
    if value not in (-1, 1) or isinstance(value, bool | float):
        raise BadInput("a vote is 1 or -1.")
    return int(value)


def _points(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 100:
        raise BadInput("points are a whole number from -100 to 100.")
    return value


def _part(value: Any) -> float:
    found = _number(1.0)(value)
    if found < 0:
        raise BadInput("it is no fraction.")
    return float(found)


def _answer(value: Any) -> Row:
    if not isinstance(value, dict):
        raise BadInput("an answer is an object.")
    return dict(_document(limits.ANSWER_BYTES)(value))


def _sources(value: Any) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= limits.CAMPAIGN:
        raise BadInput(f"a campaign has 1 to {limits.CAMPAIGN} sources.")
    return [_text(200, needed=True)(one) for one in value]


def _many(parts: dict[str, Check], most: int) -> Check:
    """A list of small rows."""

    def check(value: Any) -> list[Row]:
        if not isinstance(value, list) or len(value) > limits.CASES:
            raise BadInput(f"it is no list of at most {limits.CASES} texts.")
        found = []
        for one in value:
            if not isinstance(one, dict) or one.keys() != parts.keys():
                raise BadInput(f"each has {', '.join(parts)} and nothing else.")
            found.append({name: part(one[name]) for name, part in parts.items()})
        _document(most)(found)
        return found

    return check


def _document(most: int) -> Check:
    def check(value: Any) -> Any:
        said = json.dumps(value, ensure_ascii=False)
        if len(said.encode()) > most or "\\u0000" in said:
            raise BadInput(f"it has more than {most:,} bytes, or a null character in it.")
        return value

    return check


_ID = identity
_LONG = 10**9
_MODEL = _text(96, like=re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"))
_SOURCE = _text(96)
_INDEX = _whole(limits.INDEX)
_FEATURE: dict[str, Check] = {"model_id": _MODEL, "source_id": _SOURCE, "feature": _INDEX}
_PERHAPS = {name: _maybe(check) for name, check in _FEATURE.items()}
_SEEN = _word("public", "unlisted", "private")
_WHY = _text(limits.REASON)
_TITLE, _ABOUT = _text(limits.TITLE, needed=True), _text(limits.DESCRIPTION)
_CASE: dict[str, Check] = {"text": _text(_LONG), "fires": _flag}
_RESULT = _CASE | {"value": _maybe(_number()), "passed": _flag, "why": _text(_LONG)}
_MADE: dict[str, Check] = {"created_at": _time}
_CHANGED = _MADE | {"updated_at": _time}
_IDS = frozenset({"id", "owner", "person", "moderator", "list_id", "comment_id", "parent", "suite_id",
                  "explanation_id", "campaign_id"})  # fmt: skip
COLUMNS: dict[str, dict[str, Check]] = {
    "profiles": {"id": _ID, "name": _text(32, like=limits.NAME), "about": _text(limits.ABOUT)} | _CHANGED,
    "moderators": {"person": _ID} | _MADE,
    "preferences": {"owner": _ID, "hide_explicit": _maybe(_flag), "updated_at": _time},
    "lists": {
        "id": _ID, "owner": _ID, "name": _TITLE, "about": _ABOUT, "visibility": _SEEN,
        "test_text": _text(limits.TEST_TEXT), "hidden_at": _maybe(_time), "hidden_why": _WHY,
    } | _CHANGED,
    "list_items": {"list_id": _ID} | _FEATURE | {
        "note": _text(limits.NOTE), "weight": _number(limits.WEIGHT), "position": _whole(2**31 - 1),
    } | _MADE,
    "stars": {"id": _ID, "owner": _ID} | _PERHAPS | {"list_id": _maybe(_ID)} | _MADE,
    "comments": {"id": _ID, "owner": _ID} | _PERHAPS | {
        "list_id": _maybe(_ID), "parent": _maybe(_ID), "body": _text(limits.COMMENT), "edited_at": _maybe(_time),
        "deleted_at": _maybe(_time), "hidden_at": _maybe(_time), "hidden_why": _WHY,
    } | _CHANGED,
    "explanations": {"id": _ID, "owner": _ID} | _FEATURE | {
        "text": _text(limits.EXPLANATION, like=re.compile(r"[^\n\r]*")), "hidden_at": _maybe(_time), "hidden_why": _WHY,
    } | _CHANGED,
    "explanation_votes": {"id": _ID, "owner": _ID} | _FEATURE | {
        "explanation": _text(200, needed=True), "hash": _text(64, like=re.compile("[0-9a-f]{64}")),
        "vote": _vote,
    } | _CHANGED,
    "explanation_marks": {"id": _ID, "owner": _ID} | _FEATURE | {"mark": _word("none", "mess", "several")} | _MADE,
    "reports": {
        "id": _ID, "owner": _ID, "comment_id": _maybe(_ID), "list_id": _maybe(_ID), "explanation_id": _maybe(_ID),
        "why": _text(limits.REASON, needed=True), "closed_at": _maybe(_time),
    } | _MADE,
    "moderation": {
        "id": _ID, "moderator": _maybe(_ID), "comment_id": _maybe(_ID), "list_id": _maybe(_ID),
        "explanation_id": _maybe(_ID), "what": _word("hide", "show"), "why": _WHY, "before": _text(limits.COMMENT),
    } | _MADE,
    "suites": {"id": _ID, "owner": _ID} | _FEATURE | {
        "name": _TITLE, "about": _ABOUT, "visibility": _SEEN, "threshold": _number(),
        "cases": _many(_CASE, limits.CASES_BYTES),
    } | _CHANGED,
    "suite_runs": {
        "id": _ID, "suite_id": _ID, "build": _text(100), "threshold": _number(),
        "results": _many(_RESULT, limits.RESULTS_BYTES), "passed": _whole(limits.CASES), "failed": _whole(limits.CASES),
    } | _MADE,
    "saved": {
        "id": _ID, "owner": _ID, "kind": _word(*_KINDS.values()), "name": _text(limits.SAVED_NAME, needed=True),
        "link": _text(limits.LINK, like=_LINK), "visibility": _SEEN, "record": _maybe(_document(limits.RECORD_BYTES)),
    } | _MADE,
    "campaigns": {"id": _ID, "owner": _ID, "name": _TITLE, "about": _ABOUT, "sources": _sources} | _CHANGED,
    "plays": {"id": _ID, "owner": _ID} | _FEATURE | {
        "kind": _word("name", "predict", "odd", "compare"), "seed": _whole(2**32 - 1), "campaign_id": _maybe(_ID),
        "answer": _answer, "words": _text(limits.EXPLANATION), "points": _maybe(_points),
        "agreed": _maybe(_part),
    } | _CHANGED,
    "usage": {"id": _ID, "owner": _ID, "kind": _text(40, needed=True), "amount": _number(above=0.0)} | _MADE,
}  # fmt: skip
"""Every table that is exchanged, and what each column may hold."""
LATER: dict[str, Row] = {"reports": {"explanation_id": None}, "moderation": {"explanation_id": None}}
"""Columns that files of before lack, and what stands for them."""
