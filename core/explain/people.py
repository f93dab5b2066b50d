"""People's explanations as the workbench's, and the votes on everybody's; where people are away, there are none.

What a source's people say is asked for at most every `FRESH` seconds where that takes a request over the network. A
vote counts for the words that it was given for (`core.community.explanations`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import NotAvailable, Unreachable
from core.explain.records import Brief, Explanation, Origin
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.community.people import People
    from core.community.records import Worded
    from core.workbench import Workbench

FRESH = 5.0
"""Seconds for which a shared store is not asked again whether a source's explanations changed."""


class PeopleWords:
    """What people wrote, as anybody sees it."""

    origin: Origin = "person"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._marks: dict[SourceKey, tuple[float, str]] = {}

    def of(self, feature: FeatureKey) -> Sequence[Explanation]:
        """Those of one feature that are shown, the oldest first."""
        try:
            return [explanation(one) for one in self._anybody().explanations.of(feature) if one.state == "shown"]
        except (NotAvailable, Unreachable):  # the part of the page that people write in says so
            return []

    def briefs(self, source: SourceKey) -> Sequence[Brief]:
        """Those of a whole source that are shown."""
        try:
            found = self._anybody().explanations.of_source(source.model_id, source.source_id)
        except (NotAvailable, Unreachable):
            return []
        return [Brief(one.id, one.feature.index, one.text, "person", "person", author=one.owner) for one in found]

    def mark(self, source: SourceKey) -> str:
        """Another text as soon as one changed, or a few seconds later where people are many."""
        before = self._marks.get(source)
        if before is not None and before[0] > time.monotonic():
            return before[1]
        try:
            found = self._anybody().explanations.changed(source.model_id, source.source_id)
        except (NotAvailable, Unreachable):
            found = "away"
        if self._bench.community.shared:
            self._marks[source] = time.monotonic() + FRESH, found
        return found

    def voted(self, feature: FeatureKey, found: Iterable[Explanation], people: People | None) -> list[Explanation]:
        """The same explanations with their votes, `mine` as `people` gave them."""
        from core.community.alike import digest

        every = list(found)
        if not every:
            return every
        try:
            tally = (people or self._anybody()).explanations.tally(feature)
        except (NotAvailable, Unreachable):
            return every
        votes = [tally.votes(one.id, digest(one.text)) for one in every]
        return [
            replace(one, up=vote.up, down=vote.down, mine=vote.mine) if vote.up or vote.down else one
            for one, vote in zip(every, votes, strict=True)
        ]

    def _anybody(self) -> People:
        from core.community.people import People

        store = self._bench.community.community
        return People(store, store.visit())


def explanation(one: Worded) -> Explanation:
    """A person's, as all others are."""
    return Explanation(
        id=one.id, feature=one.feature, text=one.text, origin="person", method="person", author=one.owner,
        author_name=one.owner_name, made=one.changed,
    )  # fmt: skip
