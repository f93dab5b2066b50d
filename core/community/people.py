"""One person's (or nobody's) doings: the part of the front door that `Workbench.people` opens.

Pages, API and command line call these jobs and get the same records, whichever store is behind them. Who may do what is
decided by the store; the jobs say it in words first.
"""

from __future__ import annotations

from functools import cached_property

from core.community import bounds, exchange, limits, rows
from core.community.asking import someone
from core.community.comments import CommentJobs
from core.community.explanations import ExplanationJobs
from core.community.keys import KeyJobs
from core.community.lists import ListJobs
from core.community.moderation import ModerationJobs
from core.community.plays import PlayJobs
from core.community.protocol import Community, Visit
from core.community.records import Happening, Person
from core.community.saved import SavedJobs
from core.community.stars import StarJobs
from core.community.suites import SuiteJobs
from core.errors import Conflict, NotFound


class People:
    """What one visit may do. Cheap to make; nothing is asked before a job is."""

    def __init__(self, community: Community, visit: Visit) -> None:
        self.community, self._visit = community, visit

    @property
    def me(self) -> Person | None:
        """Who is signed in."""
        return self._visit.me

    @cached_property
    def stars(self) -> StarJobs:
        """Stars of features and lists."""
        return StarJobs(self._visit)

    @cached_property
    def lists(self) -> ListJobs:
        """Lists of features."""
        return ListJobs(self._visit)

    @cached_property
    def comments(self) -> CommentJobs:
        """Comments, and what moderators do with them."""
        return CommentJobs(self._visit)

    @cached_property
    def explanations(self) -> ExplanationJobs:
        """What people say that features mean, votes and marks."""
        return ExplanationJobs(self._visit)

    @cached_property
    def plays(self) -> PlayJobs:
        """Answers to rounds of play, campaigns, leaderboards."""
        return PlayJobs(self._visit)

    @cached_property
    def suites(self) -> SuiteJobs:
        """Test suites of features."""
        return SuiteJobs(self._visit)

    @cached_property
    def saved(self) -> SavedJobs:
        """Views that one keeps."""
        return SavedJobs(self._visit)

    @cached_property
    def moderation(self) -> ModerationJobs:
        """What moderators are asked to look at, and what they did."""
        return ModerationJobs(self._visit)

    @cached_property
    def keys(self) -> KeyJobs:
        """API keys."""
        return KeyJobs(self._visit)

    # -- persons -------------------------------------------------------------------------------------------------------

    def person(self, name: str) -> Person:
        """Somebody by their name; capitals do not count."""
        if self.me is not None and self.me.name.lower() == name.lower():
            return self.me
        found = self._visit.rows("profiles", {"name_key": name.lower()}) if limits.NAME.fullmatch(name) else []
        if not found:
            raise NotFound(f"There is nobody called “{name[:40]}” here.")
        return rows.person(found[0])

    def describe(self, *, name: str | None = None, about: str | None = None) -> None:
        """Changes one's own name or what one says about oneself."""
        me = someone(self._visit, "change your profile")
        values = {}
        if name is not None:
            values["name"] = bounds.person_name(name)
        if about is not None:
            values["about"] = bounds.words(about, "What you say about yourself", limits.ABOUT)
        if not values:
            return
        try:
            self._visit.change("profiles", {"id": me.id}, values)
        except Conflict as error:
            raise Conflict(f"“{values.get('name')}” is taken: choose another name.") from error

    def hides_explicit(self) -> bool | None:
        """Whether explicit text is hidden from this person; None where they were not asked yet."""
        if self.me is None:
            return None
        found = self._visit.rows("preferences", {"owner": self.me.id})
        return found[0]["hide_explicit"] if found else None

    def hide_explicit(self, hide: bool) -> None:
        """Says whether it is to be hidden."""
        me = someone(self._visit, "keep a preference")
        self._visit.add("preferences", [{"owner": me.id, "hide_explicit": hide}], twice="replace", key=("owner",))

    def happenings(self, *, limit: int = 50, offset: int = 0, person: str | None = None) -> tuple[Happening, ...]:
        """What happened lately that everybody may see, the newest first; of one person by their id."""
        where = {"owner": person} if person else None
        found = self._visit.rows("happenings", where, order=("-created_at", "id"), limit=limit, offset=offset)
        return tuple(rows.happening(row) for row in found)

    def everything(self) -> bytes:
        """All that one keeps, as `python -m core community import` reads it (`core.community.exchange`)."""
        return b"".join(exchange.export(self._visit, person=someone(self._visit, "take your things along").id))
