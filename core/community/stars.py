"""Stars of features and lists: everybody sees how many there are and whose, as the page says where one is given."""

from __future__ import annotations

from core.community import rows
from core.community.asking import on_what, someone, there
from core.community.protocol import Visit
from core.community.records import Star, Stars
from core.records import FeatureKey

NAMES = 5


class StarJobs:
    """One person's stars."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def of(self, on: FeatureKey | str) -> Stars:
        """Who starred a feature, or a list by its id."""
        visit, where = on_what(self._visit, on)
        newest = visit.rows("star_rows", where, order=("-created_at",), limit=NAMES)
        count = len(newest) if len(newest) < NAMES else visit.count("stars", where)
        me = visit.me
        mine = me is not None and any(row["owner"] == me.id for row in newest)
        if me is not None and not mine and count > len(newest):
            mine = visit.count("stars", where | {"owner": me.id}) > 0
        return Stars(count, mine, tuple(row["owner_name"] for row in newest))

    def add(self, on: FeatureKey | str) -> None:
        """Stars it; twice is once."""
        me = someone(self._visit, "give a star")
        visit, where = on_what(self._visit, on)
        key = ("owner", "model_id", "source_id", "feature", "list_id")
        with there(on):
            visit.add("stars", [{"owner": me.id} | where], twice="keep", key=key)

    def remove(self, on: FeatureKey | str) -> None:
        """Takes the star back; without one nothing happens."""
        me = someone(self._visit, "take a star back")
        visit, where = on_what(self._visit, on)
        visit.remove("stars", {"owner": me.id} | where)

    def by(self, person: str, *, limit: int = 100, offset: int = 0) -> tuple[Star, ...]:
        """A person's stars by the person's id, the newest first."""
        found = self._visit.rows(
            "star_rows", {"owner": person}, order=("-created_at", "id"), limit=limit, offset=offset
        )
        return tuple(
            Star(row["created_at"], rows.feature(row), row["list_id"], row["list_name"] or "") for row in found
        )
