"""Playing, the one door: `Workbench.words.play`. Rounds, the daily puzzle, judging, and what play teaches.

The server judges: an answer is kept without points, and this module makes its round again, compares it with held-out
activations and writes the points with an access that no person has (`core.community.door.Door.referee`). Where a shared
server has no such access, answers are kept and agreement is shown, and leaderboards stay empty.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from core.community.plays import today
from core.errors import NotAvailable, NotFound, WorkbenchError
from core.explain.examples import Passage, Tests
from core.explain.play import rounds
from core.explain.play.judging import judge
from core.explain.play.records import KINDS, Agreement, Doubt, Kind, Outcome, Plan, Round, RoundKey, Trust
from core.explain.play.trust import trust
from core.explain.records import Explanation
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.community.people import People
    from core.community.records import Play, Standing
    from core.workbench import Workbench

HELD = 128
"""Features whose examples are kept in memory."""
DAILY: tuple[Kind, ...] = ("odd", "predict", "name")
FIT = 0.75
"""Agreement below which a feature's words are doubted."""


class Playing:
    """Rounds of play over one workbench. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._held: OrderedDict[tuple[FeatureKey, str], tuple[tuple[Passage, ...], Tests]] = OrderedDict()
        self._days: dict[tuple[str, tuple[SourceKey, ...]], tuple[RoundKey, ...]] = {}
        self._lock = Lock()  # guards both

    # -- rounds --------------------------------------------------------------------------------------------------------

    def sources(self) -> tuple[SourceKey, ...]:
        """Those that can be played: they have examples, and are no neurons or directions, on whose tails few agree.

        Builds that kept few examples are left out: a score takes more of them than there are.
        """
        entries = [self._bench.catalog.entry(one.key) for one in self._bench.sources() if "dashboards" in one.has]
        found = [
            one.record.key for one in entries if not one.record.signed and one.manifest.build.get("examples") != "few"
        ]
        return tuple(sorted(found)) or tuple(
            sorted(one.key for one in self._bench.sources() if "dashboards" in one.has)
        )

    def plan(self, people: People | None, campaign: str = "") -> Plan:
        """From what rounds are drawn: everything, or the sources of a campaign that are here.

        Raises:
            NotFound: there is no such campaign, or none of its sources is here.
        """
        every = self.sources()
        if not campaign or people is None:
            return Plan(sources=every)
        named = set(people.plays.campaign(campaign).sources)
        found = tuple(one.key for one in self._bench.sources() if str(one.key) in named and "dashboards" in one.has)
        if not found:
            raise NotFound("None of this campaign's sources is here.")
        return Plan(sources=tuple(sorted(found)))

    def pick(self, plan: Plan, seed: int, kind: Kind | None = None) -> RoundKey:
        """A round by chance; see `rounds.pick`."""
        return rounds.pick(self._bench, plan.sources, kind or plan.kinds[seed % len(plan.kinds)], seed)

    def round(self, key: RoundKey | str) -> Round:
        """A round, made again from its key.

        Raises:
            NotAvailable: its feature has too few examples.
        """
        key = key if isinstance(key, RoundKey) else RoundKey.parse(key)
        shown, tests = self._examples(key.feature)
        said: Sequence[Explanation] = ()
        other = None
        if key.kind == "compare":
            said = self._bench.words.of(key.feature)
            other = self._other(key) if len(said) == 1 else None
        return rounds.make(key, shown, tests, said, other)

    def daily(self, day: datetime.date | None = None) -> tuple[RoundKey, ...]:
        """The day's puzzle: the same rounds for everybody who plays over the same sources."""
        date, every = (day or today()).isoformat(), self.sources()
        with self._lock:
            found = self._days.get((date, every))
        if found is None:
            first = int(date.replace("-", "")) * 10
            found = tuple(rounds.pick(self._bench, every, kind, first + n) for n, kind in enumerate(DAILY))
            with self._lock:
                self._days = {(date, every): found}
        return found

    def judge(self, round_: Round, answer: Mapping[str, Any]) -> Outcome:
        """An answer beside the truth."""
        return judge(round_, answer)

    # -- points --------------------------------------------------------------------------------------------------------

    def settle(self, people: People) -> int:
        """Judges a person's answers that have no points yet; how many. 0 where nobody may write points here."""
        referee = self._bench.community.referee()
        if people.me is None or referee is None:
            return 0
        done = 0
        for play in people.plays.unjudged(people.me.id):
            values = self._worth(play)
            done += referee.change("plays", {"id": play.id, "points": None}, values)
        return done

    def _worth(self, play: Play) -> dict[str, Any]:
        try:
            found = judge(self.round(_key(play)), play.answer)
        except WorkbenchError:  # an answer to no round, or of data that are gone
            return {"points": 0}
        return {"points": found.points, "agreed": found.agreed}

    def board(self, people: People, since: datetime.date, campaign: str | None = None) -> tuple[Standing, ...]:
        """A leaderboard, without those whose answers do not count."""
        found = people.plays.board(since, campaign=campaign)
        return tuple(one for one in found if one.rounds < 12 or self.trust(people, one.owner).counts)

    def trust(self, people: People, person: str) -> Trust:
        """Whether a person's answers count; where there is one person, they do."""
        return trust(people.plays.by(person)) if self._bench.community.shared else Trust(counts=True)

    # -- what play teaches ---------------------------------------------------------------------------------------------

    def agreement(self, people: People, feature: FeatureKey) -> Agreement | None:
        """How well people tell where a feature is active; None where nobody tried."""
        return self._agreed(feature, self._counting(people, people.plays.of(feature)))

    def doubted(self, people: People, source: SourceKey, *, most: int = 50) -> tuple[Doubt, ...]:
        """The features of a source whose explanations people doubt, the most doubted first."""
        self._bench.source(source)
        votes = people.explanations.voted(source.model_id, source.source_id)
        marks = people.explanations.marked(source.model_id, source.source_id)
        plays: dict[int, list[Play]] = {}
        for play in self._counting(people, people.plays.of_source(source.model_id, source.source_id)):
            plays.setdefault(play.feature.index, []).append(play)
        found = []
        for index in sorted({*votes, *marks, *plays}):
            key = FeatureKey(source.model_id, source.source_id, index)
            up, down = (sum(row[name] for row in votes.get(index, ())) for name in ("up", "down"))
            said = {row["mark"]: int(row["people"]) for row in marks.get(index, ())}
            agreement = self._agreed(key, plays.get(index, ()))
            short = max(0.0, FIT - agreement.agreed) * 4 if agreement else 0.0
            doubt = max(0, down - up) + sum(said.values()) + short
            if doubt > 0:
                found.append(Doubt(feature=key, doubt=doubt, up=up, down=down, marks=said, agreement=agreement))
        return tuple(sorted(found, key=lambda one: (-one.doubt, one.feature.index))[:most])

    def rows(self, people: People, source: SourceKey) -> Iterator[dict[str, Any]]:
        """What people said of held-out texts: a row a label, for training. Rounds that cannot be made again are out.

        Each has `feature`, `text`, `prompt`, `begin` (where the text stands in the build), `label` (what was said),
        `active` (what is so), `kind`, `round`, `person` (an id), `made`.
        """
        self._bench.source(source)
        for play in self._counting(people, people.plays.of_source(source.model_id, source.source_id)):
            try:
                asked = self.round(_key(play))
            except WorkbenchError:
                continue
            for item, label, active in zip(asked.items, _labels(asked, play.answer), asked.truth, strict=False):
                if label is not None:
                    yield {
                        "feature": str(play.feature), "text": item.text, "prompt": item.prompt, "begin": item.begin,
                        "label": label, "active": active, "kind": play.kind, "round": str(asked.key),
                        "person": play.owner, "made": play.made,
                    }  # fmt: skip

    # -- inside --------------------------------------------------------------------------------------------------------

    def _examples(self, key: FeatureKey) -> tuple[tuple[Passage, ...], Tests]:
        name = (key, self._bench.build_of(key.source))
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        found = rounds.examples(self._bench, key)
        with self._lock:
            self._held[name] = found
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return found

    def _other(self, key: RoundKey) -> Explanation | None:
        """An explanation of another feature of the source, to be compared with."""
        briefs = [one for one in self._bench.words.briefs(key.feature.source) if one.index != key.feature.index]
        if not briefs:
            return None
        one = rounds.chance("other", str(key)).choice(sorted(briefs, key=lambda brief: (brief.index, brief.id)))
        feature = FeatureKey(key.feature.model_id, key.feature.source_id, one.index)
        return Explanation(id=one.id, feature=feature, text=one.text, origin=one.origin, method=one.method)

    def _counting(self, people: People, plays: Sequence[Play]) -> list[Play]:
        """Those of people whose answers count."""
        counts = {who: self.trust(people, who).counts for who in {play.owner for play in plays}}
        return [play for play in plays if counts[play.owner]]

    def _agreed(self, key: FeatureKey, plays: Sequence[Play]) -> Agreement | None:
        told = [play for play in plays if play.agreed is not None]
        if not told:
            return None
        mean = sum(play.agreed or 0.0 for play in told) / len(told)
        return Agreement(feature=key, agreed=mean, rounds=len(told), people=len({play.owner for play in told}))


def _key(play: Play) -> RoundKey:
    for kind in KINDS:
        if play.kind == kind:
            return RoundKey(kind, play.feature, play.seed)
    raise NotAvailable(f"There is no kind of round called “{play.kind[:20]}”.")


def _labels(asked: Round, answer: Mapping[str, Any]) -> list[bool | None]:
    """What an answer says of each text; in “odd” that all but one have the feature."""
    if asked.key.kind != "odd":
        return list(answer.get("labels") or ())
    chosen = answer.get("odd")
    return [None if chosen is None else n != chosen for n in range(len(asked.items))]
