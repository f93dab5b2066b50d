"""What people keep, share and say, as frozen records.

The same from SQLite and from Supabase. Ids are UUIDs as text, times are ISO 8601 in UTC. Text is as it was written:
whoever shows it escapes it (`core.community.markdown` for comments).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.records import FeatureKey, Shown, TestRecord

Visibility = Literal["public", "unlisted", "private"]
"""Who reads it: everybody and found in lists; whoever has the link; its owner."""
SavedKind = Literal["test", "search", "steer", "scan"]
Mark = Literal["none", "mess", "several"]
"""What people say of a feature's explanations: none of these, it is a mess, more than one meaning."""
State = Literal["shown", "deleted", "hidden"]
"""Of a comment: deleted by who wrote it, or hidden by a moderator; its text is gone in both."""


@dataclass(frozen=True, slots=True)
class Person(Shown):
    """Somebody who signs in, or the one person of a local workbench."""

    id: str
    name: str
    """Stands in addresses: letters, digits, “.”, “_” and “-”."""
    about: str = ""
    made: str = ""
    moderates: bool = False
    """Only known of oneself."""


@dataclass(frozen=True, slots=True)
class Stars(Shown):
    """Of one feature or list."""

    count: int
    mine: bool
    names: tuple[str, ...]
    """Of the newest few."""


@dataclass(frozen=True, slots=True)
class Star(Shown):
    """One of a person's stars: of a feature or of a list."""

    made: str
    feature: FeatureKey | None = None
    list_id: str | None = None
    list_name: str = ""


@dataclass(frozen=True, slots=True)
class Item(Shown):
    """A feature of a list."""

    feature: FeatureKey
    note: str = ""
    weight: float = 1.0
    """Of the feature where the list steers as one unit."""


@dataclass(frozen=True, slots=True)
class ListCard(Shown):
    """A list without its features."""

    id: str
    owner: str
    """The owner's id."""
    owner_name: str
    name: str
    about: str
    visibility: Visibility
    test_text: str
    """Run over all features of the list unless told otherwise."""
    items: int
    stars: int
    comments: int
    made: str
    changed: str
    hidden: bool = False
    """By a moderator: only its owner and moderators see it."""
    hidden_why: str = ""


@dataclass(frozen=True, slots=True)
class FeatureList(Shown):
    """A list with its features, in their order."""

    card: ListCard
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Listed(Shown):
    """That a feature stands in a list."""

    list_id: str
    list_name: str
    owner_name: str
    note: str


@dataclass(frozen=True, slots=True)
class Comment(Shown):
    """On a feature or a list; `parent` is the comment that it answers."""

    id: str
    owner: str
    owner_name: str
    body: str
    """Markdown; empty unless shown."""
    made: str
    edited: str = ""
    state: State = "shown"
    why: str = ""
    """A moderator's reason for hiding it."""
    parent: str | None = None
    feature: FeatureKey | None = None
    list_id: str | None = None
    list_name: str = ""


@dataclass(frozen=True, slots=True)
class Worded(Shown):
    """What a person says that a feature means."""

    id: str
    owner: str
    owner_name: str
    feature: FeatureKey
    text: str
    """One line, its meanings joined by “ | ”; empty unless shown."""
    made: str
    changed: str
    state: State = "shown"
    why: str = ""
    """A moderator's reason for hiding it."""


@dataclass(frozen=True, slots=True)
class Votes(Shown):
    """For and against one explanation, as it is worded now."""

    up: int = 0
    down: int = 0
    mine: int = 0
    """Of whoever asks: 1, -1 or 0."""


@dataclass(frozen=True, slots=True)
class Tally(Shown):
    """The votes on a feature's explanations, by the explanation's id and the digest of the words they were for."""

    counted: Mapping[tuple[str, str], Votes]

    def votes(self, id: str, digest: str) -> Votes:
        """Of one explanation as it is worded now."""
        return self.counted.get((id, digest), Votes())

    def earlier(self, id: str, digest: str) -> int:
        """Votes for other words of the same explanation, which no longer count."""
        return sum(one.up + one.down for (on, of), one in self.counted.items() if on == id and of != digest)


@dataclass(frozen=True, slots=True)
class Marks(Shown):
    """How people marked a feature."""

    count: Mapping[str, int]
    mine: frozenset[str]
    """Of whoever asks."""


@dataclass(frozen=True, slots=True)
class Play(Shown):
    """Somebody's answer to a round of play."""

    id: str
    owner: str
    owner_name: str
    feature: FeatureKey
    kind: str
    seed: int
    answer: Mapping[str, Any]
    words: str
    made: str
    points: int | None = None
    """None until the server judged it, and where there was nothing to judge."""
    agreed: float | None = None
    """Balanced accuracy on the held-out examples that were answered."""
    campaign: str | None = None


@dataclass(frozen=True, slots=True)
class Campaign(Shown):
    """Sources to play through together."""

    id: str
    owner: str
    owner_name: str
    name: str
    about: str
    sources: tuple[str, ...]
    rounds: int
    made: str


@dataclass(frozen=True, slots=True)
class Standing(Shown):
    """A line of a leaderboard."""

    owner: str
    name: str
    points: int
    rounds: int
    agreed: float | None
    days: int
    """On which the person played, of those that count."""


@dataclass(frozen=True, slots=True)
class Report(Shown):
    """What a moderator is asked to look at."""

    id: str
    why: str
    made: str
    closed: bool
    comment_id: str | None = None
    list_id: str | None = None
    owner: str = ""
    """The id of who asked."""
    explanation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reported(Shown):
    """A report with what it is about; neither comment, list nor explanation where that is gone."""

    report: Report
    by: str
    """Who asked, by name."""
    comment: Comment | None = None
    card: ListCard | None = None
    worded: Worded | None = None


@dataclass(frozen=True, slots=True)
class Moderated(Shown):
    """Something that a moderator did."""

    id: str
    what: Literal["hide", "show"]
    why: str
    before: str
    """The text of a comment or an explanation, or the list's name, as it was."""
    by: str
    """The moderator's name; empty for one who is gone."""
    made: str
    comment_id: str | None = None
    list_id: str | None = None
    explanation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Case(Shown):
    """A text of a test suite, and whether the feature should fire on it."""

    text: str
    fires: bool


@dataclass(frozen=True, slots=True)
class CaseResult(Shown):
    """What a case came to."""

    case: Case
    value: float | None
    """The feature's largest activation over the text, without BOS; None where the text could not be run."""
    passed: bool
    why: str = ""
    """What kept the text from being run."""
    test: TestRecord | None = field(default=None, compare=False)
    """Every token's value; only of a run that was just made, since it is not kept."""


@dataclass(frozen=True, slots=True)
class SuiteRun(Shown):
    """A whole suite, run once."""

    suite_id: str
    build: str
    """Which build of the source answered."""
    threshold: float
    results: tuple[CaseResult, ...]
    made: str

    @property
    def passed(self) -> int:
        """Cases that came out as they should."""
        return sum(result.passed for result in self.results)

    @property
    def failed(self) -> int:
        """The others."""
        return len(self.results) - self.passed


@dataclass(frozen=True, slots=True)
class LastRun(Shown):
    """What a suite came to when its owner last ran it."""

    build: str
    passed: int
    failed: int
    made: str


@dataclass(frozen=True, slots=True)
class Suite(Shown):
    """Texts on which a feature should fire, and texts on which it should not."""

    id: str
    owner: str
    owner_name: str
    feature: FeatureKey
    name: str
    about: str
    visibility: Visibility
    threshold: float
    """A text fires where the largest activation is above it."""
    cases: tuple[Case, ...]
    made: str
    changed: str
    last: LastRun | None = None


@dataclass(frozen=True, slots=True)
class Saved(Shown):
    """A view that somebody kept: its address says everything."""

    id: str
    owner: str
    kind: SavedKind
    name: str
    link: str
    """From the server's root, such as `/search?text=…`."""
    visibility: Visibility
    made: str


@dataclass(frozen=True, slots=True)
class ApiKey(Shown):
    """A key of the HTTP API; the key itself is shown once, when it is made, and kept as a hash."""

    id: str
    name: str
    start: str
    """Its first characters, to tell keys apart."""
    made: str
    used: str = ""
    revoked: str = ""


@dataclass(frozen=True, slots=True)
class Happening(Shown):
    """Something that somebody did and everybody may see."""

    what: Literal["star", "comment", "list", "suite", "explanation"]
    id: str
    who: str
    """The person's name."""
    made: str
    words: str = ""
    """The list's or suite's name, or how the comment or explanation begins."""
    feature: FeatureKey | None = None
    list_id: str | None = None


@dataclass(frozen=True, slots=True)
class Quota(Shown):
    """What is left today of what costs money."""

    kind: str
    used: float
    bound: float

    @property
    def left(self) -> float:
        """Never below zero."""
        return max(0.0, self.bound - self.used)
