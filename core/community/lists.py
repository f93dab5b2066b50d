"""Lists of features: made, filled, put in order, given away, found again.

A list is public, unlisted (whoever has its address reads it, and it stands nowhere) or private. Everything that changes
one asks that it is one's own, since a store answers a change of somebody else's with “none”.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from core.community import bounds, limits, rows
from core.community.asking import moderator, someone
from core.community.protocol import Row, Visit
from core.community.records import FeatureList, Item, ListCard, Listed
from core.community.schema import new_id, now
from core.errors import BadInput, NotAllowed, NotFound
from core.records import FeatureKey


class ListJobs:
    """Lists, as one person sees them."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    # -- reading -------------------------------------------------------------------------------------------------------

    def get(self, id: str) -> FeatureList:
        """A list with its features; raises `NotFound` for one that is not there, or not for this person."""
        id = bounds.identity(id, "list")
        visit = self._visit.given(id)
        found = visit.rows("list_cards", {"id": id})
        if not found:
            raise NotFound("There is no such list here, or it is somebody's private one.")
        items = visit.rows("list_items", {"list_id": id}, order=("position", "created_at", "feature"))
        return FeatureList(rows.card(found[0]), tuple(rows.item(row) for row in items))

    def mine(self) -> tuple[ListCard, ...]:
        """Every list of whoever asks, the last changed first."""
        me = someone(self._visit, "see your lists")
        return self._cards({"owner": me.id}, order=("-updated_at",))

    def by(self, person: str) -> tuple[ListCard, ...]:
        """A person's public lists, by the person's id."""
        return self._cards({"owner": person, "visibility": "public", "hidden_at": None})

    def newest(self, *, limit: int = 50, offset: int = 0) -> tuple[ListCard, ...]:
        """Everybody's public lists."""
        found = self._visit.rows(
            "list_cards", {"visibility": "public", "hidden_at": None}, order=("-created_at", "id"), limit=limit,
            offset=offset,
        )  # fmt: skip
        return tuple(rows.card(row) for row in found)

    def holding(self, feature: FeatureKey) -> tuple[Listed, ...]:
        """The lists in which a feature stands: public ones, and one's own."""
        found = self._visit.rows("listed_features", rows.feature_columns(feature), order=("-created_at",), limit=100)
        me = self._visit.me.id if self._visit.me else None
        return tuple(
            Listed(row["list_id"], row["list_name"], row["owner_name"], row["note"])
            for row in found
            if row["visibility"] == "public" or row["owner"] == me
        )

    # -- writing -------------------------------------------------------------------------------------------------------

    def new(
        self,
        name: str,
        about: str = "",
        *,
        visibility: str = "public",
        test_text: str = "",
        items: Sequence[Item] = (),
        id: str | None = None,
    ) -> str:
        """Makes a list, with features if there are any; its id. Asked twice with one id, it is made once."""
        me = someone(self._visit, "make a list")
        row = _row({"name": name, "about": about, "visibility": visibility, "test_text": test_text})
        row |= {"id": bounds.identity(id, "list") if id else new_id()}
        self._visit.new_list(row | {"owner": me.id}, _items(_once(items), 0))
        return str(row["id"])

    def change(
        self,
        id: str,
        *,
        name: str | None = None,
        about: str | None = None,
        visibility: str | None = None,
        test_text: str | None = None,
    ) -> None:
        """Changes what is given, and nothing else."""
        given = {"name": name, "about": about, "visibility": visibility, "test_text": test_text}
        row = _row(given)
        self._own(id)
        if row:
            self._visit.change("lists", {"id": bounds.identity(id, "list")}, row)

    def add(self, id: str, items: Sequence[Item]) -> tuple[Item, ...]:
        """Adds features at the end; those that are there keep their note. Gives back the ones that are new."""
        own = self._own(id)
        there = {item.feature for item in own.items}
        new = [item for item in _once(items) if item.feature not in there]
        if len(there) + len(new) > limits.ITEMS:
            raise BadInput(
                f"“{own.card.name}” has {len(there):,} features and may have {limits.ITEMS:,}: {len(new):,} more do "
                "not fit. Make another list for them."
            )
        added = [row | {"list_id": own.card.id} for row in _items(new, len(own.items))]
        if added:
            self._visit.add("list_items", added, twice="keep", key=("list_id", "model_id", "source_id", "feature"))
        return tuple(new)

    def edit(self, id: str, feature: FeatureKey, *, note: str | None = None, weight: float | None = None) -> None:
        """Changes the note or the weight of a feature of the list."""
        self._own(id)
        row: Row = {}
        if note is not None:
            row["note"] = bounds.words(note, "The note", limits.NOTE)
        if weight is not None:
            row["weight"] = bounds.number(weight, "The weight", limits.WEIGHT)
        where = {"list_id": bounds.identity(id, "list")} | rows.feature_columns(feature)
        if row and not self._visit.change("list_items", where, row):
            raise NotFound(f"{feature} is not in this list.")

    def take(self, id: str, features: Iterable[FeatureKey]) -> None:
        """Takes features out of the list."""
        self._own(id)
        for feature in features:
            self._visit.remove("list_items", {"list_id": bounds.identity(id, "list")} | rows.feature_columns(feature))

    def order(self, id: str, features: Sequence[FeatureKey]) -> None:
        """Puts the features in this order; those that are not named follow, as they were."""
        own = self._own(id)
        by_key = {item.feature: item for item in own.items}
        named = [by_key.pop(key) for key in dict.fromkeys(features) if key in by_key]
        ordered = _items([*named, *by_key.values()], 0)
        if ordered:
            self._visit.add(
                "list_items", [row | {"list_id": own.card.id} for row in ordered], twice="replace",
                key=("list_id", "model_id", "source_id", "feature"),
            )  # fmt: skip

    def delete(self, id: str) -> None:
        """Deletes the list with all that is on it."""
        self._visit.remove("lists", {"id": self._own(id).card.id})

    # -- moderators ----------------------------------------------------------------------------------------------------

    def hide(self, id: str, why: str) -> None:
        """Hides somebody's list from all but them and moderators, with a reason."""
        why = bounds.words(why, "The reason", limits.REASON, needed=True)
        self._moderate(id, {"hidden_at": now(), "hidden_why": why})

    def show(self, id: str) -> None:
        """Shows it again."""
        self._moderate(id, {"hidden_at": None, "hidden_why": ""})

    def _moderate(self, id: str, values: Row) -> None:
        moderator(self._visit)
        if not self._visit.change("lists", {"id": bounds.identity(id, "list")}, values):
            raise NotFound("There is no such list here.")

    def _own(self, id: str) -> FeatureList:
        me = someone(self._visit, "change a list")
        found = self.get(id)
        if found.card.owner != me.id:
            raise NotAllowed(f"“{found.card.name}” is {found.card.owner_name}'s list: only they change it.")
        return found

    def _cards(self, where: Row, order: Sequence[str] = ("-created_at",)) -> tuple[ListCard, ...]:
        return tuple(rows.card(row) for row in self._visit.rows("list_cards", where, order=order, limit=limits.LISTS))


def _row(given: dict[str, str | None]) -> Row:
    """What is given of a list, checked."""
    checks: dict[str, Callable[[str], str]] = {
        "name": lambda text: bounds.line(text, "The name", limits.TITLE),
        "about": lambda text: bounds.words(text, "The description", limits.DESCRIPTION),
        "visibility": bounds.visibility,
        "test_text": lambda text: bounds.verbatim(text, "The test text", limits.TEST_TEXT),
    }
    return {name: checks[name](text) for name, text in given.items() if text is not None}


def _once(items: Sequence[Item]) -> list[Item]:
    """The first of each feature."""
    found: dict[FeatureKey, Item] = {}
    for item in items:
        found.setdefault(item.feature, item)
    if len(found) > limits.ITEMS:
        raise BadInput(f"A list has at most {limits.ITEMS:,} features: these are {len(found):,}.")
    return list(found.values())


def _items(items: Sequence[Item], first: int) -> list[Row]:
    return [
        rows.feature_columns(item.feature)
        | {
            "note": bounds.words(item.note, f"The note to {item.feature}", limits.NOTE),
            "weight": bounds.number(item.weight, f"The weight of {item.feature}", limits.WEIGHT),
            "position": first + at,
        }
        for at, item in enumerate(items)
    ]
