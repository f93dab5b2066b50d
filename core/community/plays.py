"""Answers to rounds of play, campaigns, and what leaderboards are added up from.

An answer is kept once for each person and round, as it was first given; of it only the words may be changed. Points are
written by the server alone (`core.explain.play.door`), never here. Days are those of UTC, at which the store got an
answer. Cost: a request or two a job.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.community import bounds, limits, rows
from core.community.alike import joined
from core.community.asking import someone
from core.community.protocol import Row, Visit
from core.community.records import Campaign, Play, Standing
from core.community.schema import new_id
from core.errors import BadInput, NotAllowed, NotFound
from core.records import FeatureKey, SourceKey

ONE_PLAY = ("owner", "model_id", "source_id", "feature", "kind", "seed")
MOST = 5_000
"""Answers that one question reads."""
KINDS = ("name", "predict", "odd", "compare")


class PlayJobs:
    """Playing, as one person sees it."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def answer(
        self, feature: FeatureKey, *, kind: str, seed: int, answer: Mapping[str, Any], words: str = "",
        campaign: str | None = None, id: str | None = None,
    ) -> str:  # fmt: skip
        """Answers a round; the id of what is kept. A second answer to the same round changes nothing but the words."""
        me = someone(self._visit, "keep what you answered")
        if kind not in KINDS or not 0 <= seed < 2**32:
            raise BadInput("There is no such round.")
        said = json.dumps(dict(answer), ensure_ascii=False, allow_nan=False)
        if len(said.encode()) > limits.ANSWER_BYTES:
            raise BadInput(f"The answer has more than {limits.ANSWER_BYTES:,} bytes.")
        where = {"owner": me.id, "kind": kind, "seed": seed} | rows.feature_columns(feature)
        row = where | {
            "id": bounds.identity(id, "round") if id else new_id(), "answer": dict(answer),
            "words": joined(words) if words.strip() else "",
            "campaign_id": bounds.identity(campaign, "campaign") if campaign else None,
        }  # fmt: skip
        self._visit.add("plays", [row], twice="keep", key=ONE_PLAY)
        (kept,) = self._visit.rows("plays", where, limit=1) or [row]
        if row["words"] and kept["words"] != row["words"]:
            self._visit.change("plays", {"id": kept["id"]}, {"words": row["words"]})
        return str(kept["id"])

    def reword(self, id: str, words: str) -> None:
        """Improves the words of an answer; what was pointed at stays as it was given."""
        me, id = someone(self._visit, "change what you answered"), bounds.identity(id, "round")
        text = joined(words)
        if not self._visit.change("plays", {"id": id, "owner": me.id}, {"words": text}):
            raise NotFound("There is no such answer of yours.")

    def mine(self, feature: FeatureKey, kind: str, seed: int) -> Play | None:
        """One's own answer to a round."""
        me = self._visit.me
        if me is None:
            return None
        where = {"owner": me.id, "kind": kind, "seed": seed} | rows.feature_columns(feature)
        found = self._visit.rows("play_rows", where, limit=1)
        return rows.play(found[0]) if found else None

    def of(self, feature: FeatureKey) -> tuple[Play, ...]:
        """Everybody's answers on a feature, the oldest first."""
        found = self._visit.rows("play_rows", rows.feature_columns(feature), order=("created_at", "id"), limit=MOST)
        return tuple(map(rows.play, found))

    def of_source(self, model_id: str, source_id: str) -> tuple[Play, ...]:
        """Everybody's answers on a source, by feature."""
        where: Row = {"model_id": model_id, "source_id": source_id}
        return tuple(map(rows.play, self._visit.rows("play_rows", where, order=("feature", "created_at", "id"))))

    def by(self, person: str, *, limit: int = 500) -> tuple[Play, ...]:
        """A person's, the newest first; by the person's id."""
        found = self._visit.rows("play_rows", {"owner": person}, order=("-created_at", "id"), limit=limit)
        return tuple(map(rows.play, found))

    def unjudged(self, person: str, *, limit: int = 50) -> tuple[Play, ...]:
        """Answers of a person that the server has not judged."""
        where: Row = {"owner": person, "points": None}
        found = self._visit.rows("play_rows", where, order=("-created_at", "id"), limit=limit)
        return tuple(map(rows.play, found))

    # -- leaderboards and streaks --------------------------------------------------------------------------------------

    def board(self, since: datetime.date, *, campaign: str | None = None) -> tuple[Standing, ...]:
        """Everybody's points since a day, the most first; of one campaign, if it is named, since ever."""
        if campaign is None:
            days = [(since + datetime.timedelta(n)).isoformat() for n in range((today() - since).days + 1)]
            found = self._visit.rows("play_days", {"day": days}, order=("owner", "day"))
        else:
            where = {"campaign_id": bounds.identity(campaign, "campaign")}
            found = self._visit.rows("play_days", where, order=("owner", "day"))
        by: dict[str, list[Row]] = {}
        for row in found:
            by.setdefault(row["owner"], []).append(row)
        lines = [_standing(each) for each in by.values()]
        return tuple(sorted(lines, key=lambda one: (-one.points, one.rounds, one.name)))

    def streak(self, person: str, *, on: datetime.date | None = None) -> int:
        """Days in a row, up to today or yesterday, on which a person answered a round that was judged."""
        days = {
            row["day"] for row in self._visit.rows("play_days", {"owner": person}, order=("-day",)) if row["judged"]
        }
        last = on or today()
        day = last if last.isoformat() in days else last - datetime.timedelta(1)
        count = 0
        while (day - datetime.timedelta(count)).isoformat() in days:
            count += 1
        return count

    # -- campaigns -----------------------------------------------------------------------------------------------------

    def campaigns(self, *, limit: int = 100) -> tuple[Campaign, ...]:
        """All, the newest first."""
        return tuple(map(rows.campaign, self._visit.rows("campaign_rows", order=("-created_at", "id"), limit=limit)))

    def campaign(self, id: str) -> Campaign:
        """One by its id."""
        found = self._visit.rows("campaign_rows", {"id": bounds.identity(id, "campaign")})
        if not found:
            raise NotFound("There is no such campaign.")
        return rows.campaign(found[0])

    def begin(self, name: str, sources: Iterable[str], *, about: str = "", id: str | None = None) -> str:
        """A campaign over some sources; its id. Asked twice with one id, it is begun once."""
        me = someone(self._visit, "begin a campaign")
        chosen = list(dict.fromkeys(str(SourceKey.parse(source)) for source in sources))
        if not 1 <= len(chosen) <= limits.CAMPAIGN:
            raise BadInput(f"A campaign has 1 to {limits.CAMPAIGN} sources: these are {len(chosen)}.")
        row = {
            "id": bounds.identity(id, "campaign") if id else new_id(), "owner": me.id, "sources": chosen,
            "name": bounds.line(name, "The campaign's name", limits.TITLE),
            "about": bounds.words(about, "What it is about", limits.DESCRIPTION),
        }  # fmt: skip
        self._visit.add("campaigns", [row], twice="keep")
        return str(row["id"])

    def end(self, id: str) -> None:
        """Deletes one's own campaign; what was played stays."""
        me, found = someone(self._visit, "end a campaign"), self.campaign(id)
        if found.owner != me.id:
            raise NotAllowed(f"This is {found.owner_name}'s campaign: only they end it.")
        self._visit.remove("campaigns", {"id": found.id})


def today() -> datetime.date:
    """In UTC."""
    return datetime.datetime.now(datetime.UTC).date()


def _standing(days: Sequence[Row]) -> Standing:
    measured = sum(row["measured"] for row in days)
    agreed = sum(row["agreed"] * row["measured"] for row in days if row["measured"])
    return Standing(
        days[0]["owner"], days[0]["owner_name"], sum(int(row["points"]) for row in days),
        sum(row["rounds"] for row in days), agreed / measured if measured else None, len({row["day"] for row in days}),
    )  # fmt: skip
