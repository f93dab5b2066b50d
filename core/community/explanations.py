"""What people say that features mean: written, edited, taken back, hidden; votes on any explanation; marks.

A vote names an explanation by its id, whoever made it, and keeps the `alike.digest` of the words that it was given for:
words that change begin without votes. A person has one vote an explanation and each mark once a feature. Cost: a
request or two a job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from core.community import bounds, limits, rows
from core.community.alike import joined
from core.community.asking import moderator, someone
from core.community.protocol import Row, Visit
from core.community.records import Mark, Marks, Tally, Votes, Worded
from core.community.schema import new_id, now
from core.errors import BadInput, NotAllowed, NotFound
from core.records import FeatureKey

MOST = 200
"""People's explanations of one feature that are read."""
VOTERS = 5_000
"""Votes and marks of one feature that are read."""
ONE_VOTE = ("owner", "model_id", "source_id", "feature", "explanation")
ONE_MARK = ("owner", "model_id", "source_id", "feature", "mark")


class ExplanationJobs:
    """People's explanations, votes and marks, as one person sees them."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    # -- explanations --------------------------------------------------------------------------------------------------

    def of(self, feature: FeatureKey) -> tuple[Worded, ...]:
        """Those of a feature, the oldest first; hidden ones without their words."""
        where = rows.feature_columns(feature)
        found = self._visit.rows("explanation_rows", where, order=("created_at", "id"), limit=MOST)
        return tuple(rows.worded(row) for row in found)

    def by(self, person: str, *, limit: int = 100) -> tuple[Worded, ...]:
        """A person's, the newest first; by the person's id."""
        where: Row = {"owner": person, "hidden_at": None}
        found = self._visit.rows("explanation_rows", where, order=("-created_at", "id"), limit=limit)
        return tuple(rows.worded(row) for row in found)

    def newest(self, *, limit: int, offset: int = 0) -> tuple[Worded, ...]:
        """Everybody's, of every source, that are shown; the last that were changed first."""
        found = self._visit.rows(
            "explanation_rows", {"hidden_at": None}, order=("-updated_at", "id"), limit=limit, offset=offset
        )
        return tuple(rows.worded(row) for row in found)

    def get(self, id: str) -> Worded:
        """One by its id."""
        found = self._visit.rows("explanation_rows", {"id": bounds.identity(id, "explanation")})
        if not found:
            raise NotFound("There is no such explanation, or it was taken back.")
        return rows.worded(found[0])

    def write(self, feature: FeatureKey, text: str, *, id: str | None = None) -> str:
        """Says what a feature means; its id. Asked twice with one id, it is said once."""
        me = someone(self._visit, "explain a feature")
        row = {"id": bounds.identity(id, "explanation") if id else new_id(), "owner": me.id, "text": joined(text)}
        self._visit.add("explanations", [row | rows.feature_columns(feature)], twice="keep")
        return str(row["id"])

    def edit(self, id: str, text: str) -> None:
        """Changes what one said; votes for the words of before no longer count."""
        found, text = self._own(id), joined(text)
        if found.text != text:
            self._visit.change("explanations", {"id": found.id}, {"text": text})

    def delete(self, id: str) -> None:
        """Takes back what one said."""
        self._visit.remove("explanations", {"id": self._own(id, hidden=True).id})

    def hide(self, id: str, why: str) -> None:
        """Hides somebody's explanation, with a reason that stands in its place."""
        moderator(self._visit)
        where = {"id": bounds.identity(id, "explanation")}
        why = bounds.words(why, "The reason", limits.REASON, needed=True)
        if not self._visit.change("explanations", where, {"hidden_at": now(), "hidden_why": why}):
            raise NotFound("There is no such explanation.")

    def show(self, id: str) -> None:
        """Shows it again, as it was; one that is shown stays so."""
        moderator(self._visit)
        where: Row = {"id": bounds.identity(id, "explanation")}
        if self._visit.count("explanations", where | {"hidden_at": None}):
            return
        if not self._visit.change("explanations", where, {"hidden_at": None, "hidden_why": ""}):
            raise NotFound("There is no such explanation.")

    # -- votes ---------------------------------------------------------------------------------------------------------

    def tally(self, feature: FeatureKey) -> Tally:
        """Every vote on a feature's explanations, counted."""
        me = self._visit.me
        counted: dict[tuple[str, str], Votes] = {}
        found = self._visit.rows("explanation_votes", rows.feature_columns(feature), order=("id",), limit=VOTERS)
        for row in found:
            key = (row["explanation"], row["hash"])
            old = counted.get(key, Votes())
            mine = row["vote"] if me is not None and row["owner"] == me.id else old.mine
            counted[key] = Votes(old.up + (row["vote"] > 0), old.down + (row["vote"] < 0), mine)
        return Tally(counted)

    def vote(self, feature: FeatureKey, on: Iterable[tuple[str, str]], vote: int) -> None:
        """Votes 1 or -1 for one explanation or several, each an id and the `digest` of its words; 0 takes it back."""
        me = someone(self._visit, "vote for an explanation")
        if vote not in (-1, 0, 1):
            raise BadInput(f"A vote is 1 or -1, and 0 takes it back; this is {vote}.")
        own = {"owner": me.id} | rows.feature_columns(feature)
        for id, hash in on:
            if not id.strip() or len(id) > 200:
                raise BadInput(f"“{id[:60]}” is not the id of an explanation.")
            where = own | {"explanation": bounds.clean(id, "The explanation's id")}
            if not vote:
                self._visit.remove("explanation_votes", where)
            elif not self._visit.change("explanation_votes", where, {"vote": vote, "hash": hash}):
                row = {"id": new_id(), "vote": vote, "hash": hash} | where
                self._visit.add("explanation_votes", [row], twice="keep", key=ONE_VOTE)

    # -- marks ---------------------------------------------------------------------------------------------------------

    def marks(self, feature: FeatureKey) -> Marks:
        """How many people marked a feature, and how one did oneself."""
        found = self._visit.rows("explanation_marks", rows.feature_columns(feature), order=("id",), limit=VOTERS)
        me = self._visit.me
        count = {mark: sum(row["mark"] == mark for row in found) for mark in get_args(Mark)}
        mine = frozenset(row["mark"] for row in found if me is not None and row["owner"] == me.id)
        return Marks(count, mine)

    def mark(self, feature: FeatureKey, mark: str, *, on: bool = True) -> None:
        """Says “none of these” (none), “it is a mess” (mess) or “more than one meaning” (several), or takes it back."""
        me = someone(self._visit, "mark a feature")
        if mark not in get_args(Mark):
            raise BadInput(f"“{mark[:40]}” is no mark: none, mess or several.")
        row = {"owner": me.id, "mark": mark} | rows.feature_columns(feature)
        if on:
            self._visit.add("explanation_marks", [row | {"id": new_id()}], twice="keep", key=ONE_MARK)
        else:
            self._visit.remove("explanation_marks", row)

    # -- of a whole source ---------------------------------------------------------------------------------------------

    def of_source(self, model_id: str, source_id: str) -> tuple[Worded, ...]:
        """All of a source that are shown, by feature."""
        where: Row = {"model_id": model_id, "source_id": source_id, "hidden_at": None}
        return tuple(rows.worded(row) for row in self._visit.rows("explanation_rows", where, order=("feature", "id")))

    def changed(self, model_id: str, source_id: str) -> str:
        """Another text as soon as one of a source changed."""
        where: Row = {"model_id": model_id, "source_id": source_id}
        newest = self._visit.rows("explanations", where, order=("-updated_at",), limit=1)
        return f"{self._visit.count('explanations', where)}-{newest[0]['updated_at']}" if newest else "0"

    def voted(self, model_id: str, source_id: str) -> Mapping[int, Sequence[Row]]:
        """Votes of a whole source, counted in the store: rows of `explanation_vote_counts` by feature."""
        return self._counted("explanation_vote_counts", model_id, source_id)

    def marked(self, model_id: str, source_id: str) -> Mapping[int, Sequence[Row]]:
        """Marks likewise: rows of `explanation_mark_counts`."""
        return self._counted("explanation_mark_counts", model_id, source_id)

    def _counted(self, view: str, model_id: str, source_id: str) -> Mapping[int, Sequence[Row]]:
        found: dict[int, list[Row]] = {}
        order = ("feature", "explanation", "hash") if view.endswith("vote_counts") else ("feature", "mark")
        for row in self._visit.rows(view, {"model_id": model_id, "source_id": source_id}, order=order):
            found.setdefault(int(row["feature"]), []).append(row)
        return found

    def _own(self, id: str, *, hidden: bool = False) -> Worded:
        me, found = someone(self._visit, "change an explanation"), self.get(id)
        if found.owner != me.id:
            raise NotAllowed(f"This is {found.owner_name}'s explanation: only they change it.")
        if found.state == "hidden" and not hidden:
            raise NotAllowed("A moderator hid this explanation: it is not changed any more.")
        return found
