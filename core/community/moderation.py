"""What moderators see: the reports with what they are about, and the trail of what was hidden and shown again.

Hiding and showing themselves are jobs of comments, lists and explanations; the store writes the trail, so that nothing
is hidden without it.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.community import rows
from core.community.asking import moderator
from core.community.bounds import identity
from core.community.protocol import Row, Visit
from core.community.records import Moderated, Reported
from core.community.schema import now

MOST = 200
"""Reports that are shown."""


class ModerationJobs:
    """Moderation, as one person sees it: `NotAllowed` for who is no moderator."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def reports(self, *, closed: bool = False) -> tuple[Reported, ...]:
        """What moderators were asked to look at and have not closed, or have; the newest first."""
        moderator(self._visit)
        found = [
            row
            for row in self._visit.rows("reports", order=("-created_at", "id"), limit=5 * MOST)
            if (row["closed_at"] is not None) is closed
        ][:MOST]
        comments = self._by_id("comment_rows", (row["comment_id"] for row in found))
        cards = self._by_id("list_cards", (row["list_id"] for row in found))
        worded = self._by_id("explanation_rows", (row["explanation_id"] for row in found))
        names = self._by_id("profiles", (row["owner"] for row in found))
        return tuple(
            Reported(
                rows.report(row),
                names[row["owner"]]["name"] if row["owner"] in names else "",
                rows.comment(comments[row["comment_id"]]) if row["comment_id"] in comments else None,
                rows.card(cards[row["list_id"]]) if row["list_id"] in cards else None,
                rows.worded(worded[row["explanation_id"]]) if row["explanation_id"] in worded else None,
            )
            for row in found
        )

    def close(self, report: str) -> None:
        """Says that a report was looked at."""
        moderator(self._visit)
        self._visit.change("reports", {"id": identity(report, "report")}, {"closed_at": now()})

    def trail(self, *, limit: int = 50, offset: int = 0) -> tuple[Moderated, ...]:
        """What moderators did, the newest first."""
        moderator(self._visit)
        found = self._visit.rows("moderation", order=("-created_at", "id"), limit=limit, offset=offset)
        names = self._by_id("profiles", (row["moderator"] for row in found))
        return tuple(
            rows.moderated(row, names[row["moderator"]]["name"] if row["moderator"] in names else "") for row in found
        )

    def _by_id(self, table: str, ids: Iterable[str | None]) -> dict[str | None, Row]:
        asked = sorted({id for id in ids if id})
        return {row["id"]: row for row in self._visit.rows(table, {"id": asked})} if asked else {}
