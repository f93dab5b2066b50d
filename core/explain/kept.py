"""What models answered about the features of one source, and scores of any explanation: one SQLite file.

`<writable root>/<model>/<source>/derived/explanations-<build>/answers.db`, also for a source of a read-only root; the
build's hash in the name keeps words on one set of features from being taken for another's. An answer is committed as it
comes, by the hash of all that was asked, so that the same question is never paid twice; a question is committed before
it is sent, so that an interrupted run knows what was asked and not answered. No key is ever in it.

Cost: a connection and an index look-up a feature (some 0.3 ms). No torch, no openai. Several processes may use it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter

from core.errors import BadData, NotAvailable
from core.explain.records import ORDER, Brief, Explanation, Origin, Score
from core.records import FeatureKey, SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

NAME = "answers.db"
PREFIX = "m-"
"""Ids of explanations by models begin so."""
_SCORE: TypeAdapter[Score] = TypeAdapter(Score)
_TABLES = """
create table if not exists answers (
    ask text primary key, feature integer not null, model text not null, prompt text not null, asked text not null,
    answer text, read integer, written integer, usd real, cut integer, answered text);
create table if not exists explanations (
    id text primary key, feature integer not null, text text not null, method text not null, model text not null,
    prompt text not null, author text not null, made text not null);
create index if not exists explanations_feature on explanations (feature);
create table if not exists scores (
    id text primary key, explanation text not null, digest text not null, feature integer not null,
    scorer text not null, judge text not null, value real not null, made text not null, record blob not null);
create index if not exists scores_feature on scores (feature);
"""
_REFUSED = """
create table if not exists unscored (
    id text primary key, explanation text not null, digest text not null, scorer text not null, why text not null,
    made text not null);
"""
"""Apart, since files of before lack it."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that was paid."""

    text: str
    read: int
    written: int
    cut: bool


class Kept:
    """The file of one source. Safe to share between threads; it is made when something is first kept."""

    def __init__(self, path: Path, source: SourceKey) -> None:
        self.path, self.source = path, source

    # -- answers ---------------------------------------------------------------------------------------------------

    def answer(self, ask: str) -> KeptAnswer | None:
        """What was answered to a question, if it was."""
        rows = self._rows("select answer, read, written, cut from answers where ask = ? and answer is not null", ask)
        return KeptAnswer(rows[0][0], rows[0][1], rows[0][2], bool(rows[0][3])) if rows else None

    def asked(self, ask: str, feature: int, model: str, prompt: str) -> None:
        """A question is about to be sent."""
        with self._writing() as db:
            db.execute(
                "insert into answers (ask, feature, model, prompt, asked) values (?, ?, ?, ?, ?) "
                "on conflict (ask) do update set asked = excluded.asked where answer is null",
                (ask, feature, model, prompt, now()),
            )

    def answered(self, ask: str, answer: KeptAnswer, usd: float | None) -> None:
        """It came back; on disk when this returns."""
        with self._writing() as db:
            db.execute(
                "update answers set answer = ?, read = ?, written = ?, usd = ?, cut = ?, answered = ? where ask = ?",
                (answer.text, answer.read, answer.written, usd, int(answer.cut), now(), ask),
            )

    def withdraw(self, ask: str) -> None:
        """It was refused or never sent: not a question that hangs."""
        with self._writing() as db:
            db.execute("delete from answers where ask = ? and answer is null", (ask,))

    def hanging(self) -> int:
        """Questions that were asked and not answered."""
        return int(self._rows("select count(*) from answers where answer is null")[0][0]) if self.path.exists() else 0

    # -- explanations ----------------------------------------------------------------------------------------------

    def add(self, explanation: Explanation) -> None:
        """Keeps one; the same once."""
        one = explanation
        with self._writing() as db:
            db.execute(
                "insert or ignore into explanations values (?, ?, ?, ?, ?, ?, ?, ?)",
                (one.id, one.feature.index, one.text, one.method, one.model, one.prompt, one.author, one.made),
            )

    def explanations(self, feature: int) -> list[Explanation]:
        """Those of a feature, the newest first, without scores."""
        rows = self._rows(f"select {_COLUMNS} from explanations where feature = ? order by made desc, id", feature)
        return [self._explanation(row) for row in rows]

    def find(self, id: str) -> Explanation | None:
        """One by its id, without scores."""
        rows = self._rows(f"select {_COLUMNS} from explanations where id = ?", id)
        return self._explanation(rows[0]) if rows else None

    def features(self, method: str, model: str, prompt: str) -> set[int]:
        """Features that have an explanation by this method, model and prompt."""
        where = "select feature from explanations where method = ? and model = ? and prompt = ?"
        return {int(row[0]) for row in self._rows(where, method, model, prompt)}

    def briefs(self) -> list[Brief]:
        """All, by feature, each with the score that stands for it."""
        best = self.standing()
        made = []
        for id, feature, text, method, model, author in self._rows(
            "select id, feature, text, method, model, author from explanations order by feature, made desc, id"
        ):
            scorer, value = best.get((id, digest(text)), ("", float("nan")))
            made.append(Brief(id, feature, text, "model", method, model, author, score=value, scorer=scorer))
        return made

    def remove(self, id: str) -> bool:
        """Takes an explanation and its scores away; whether it was there. What was answered stays paid."""
        with self._writing() as db:
            gone = db.execute("delete from explanations where id = ?", (id,)).rowcount > 0
            db.execute("delete from scores where explanation = ?", (id,))
        return gone

    # -- scores ----------------------------------------------------------------------------------------------------

    def add_score(self, explanation: Explanation, score: Score) -> None:
        """Keeps a score; it counts for the words as they are now."""
        blob = zlib.compress(orjson.dumps(asdict(score)))
        row = (
            score.id, explanation.id, digest(explanation.text), explanation.feature.index, score.scorer, score.judge,
            score.value, score.made, blob,
        )  # fmt: skip
        with self._writing() as db:
            db.execute("insert or replace into scores values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def scored(self, found: Sequence[Explanation]) -> list[Explanation]:
        """The same explanations of one feature with the scores that were kept of them, whoever wrote them."""
        if not found:
            return []
        rows = self._rows(
            "select explanation, digest, record from scores where feature = ? order by made desc, id",
            found[0].feature.index,
        )
        by: dict[tuple[str, str], list[Score]] = {}
        for id, words, blob in rows:
            by.setdefault((id, words), []).append(_score(blob))
        return [
            replace(one, scores=(*one.scores, *more)) if (more := by.get((one.id, digest(one.text)))) else one
            for one in found
        ]

    def settled(self, ids: Sequence[str]) -> set[str]:
        """Of the ids of scores those that were made, or cannot be made."""
        found: set[str] = set()
        for at in range(0, len(ids), 500):
            some = ids[at : at + 500]
            asked = f"in ({', '.join('?' * len(some))})"
            found |= {str(row[0]) for row in self._rows(f"select id from scores where id {asked}", *some)}
            if self._refuses():
                found |= {str(row[0]) for row in self._rows(f"select id from unscored where id {asked}", *some)}
        return found

    def refuse(self, id: str, explanation: Explanation, scorer: str, why: str) -> None:
        """Keeps that a score cannot be made, and why, for the words as they are now."""
        row = (id, explanation.id, digest(explanation.text), scorer, why, now())
        with self._writing() as db:
            db.execute(_REFUSED)
            db.execute("insert or replace into unscored values (?, ?, ?, ?, ?, ?)", row)

    def refused(self, explanation: Explanation) -> str:
        """Why the words as they are now have no score; empty where nobody found a reason."""
        if not self._refuses():
            return ""
        where = "explanation = ? and digest = ? order by made desc, id limit 1"
        rows = self._rows(f"select why from unscored where {where}", explanation.id, digest(explanation.text))
        return str(rows[0][0]) if rows else ""

    def score(self, id: str) -> tuple[str, Score] | None:
        """(the explanation's id, a score by its id)."""
        rows = self._rows("select explanation, record from scores where id = ?", id)
        return (str(rows[0][0]), _score(rows[0][1])) if rows else None

    def remove_score(self, id: str) -> bool:
        """Takes a score away; whether it was there."""
        with self._writing() as db:
            return db.execute("delete from scores where id = ?", (id,)).rowcount > 0

    def standing(self) -> dict[tuple[str, str], tuple[str, float]]:
        """(scorer, value) that stands for each (explanation, digest of its words): the newest of the first scorer."""
        best: dict[tuple[str, str], tuple[int, str, float]] = {}
        rows = self._rows("select explanation, digest, scorer, value from scores order by made")
        for id, words, scorer, value in rows:
            rank = _rank(scorer)
            held = best.get((id, words))
            if held is None or rank <= held[0]:
                best[id, words] = (rank, scorer, value)
        return {key: (scorer, value) for key, (_, scorer, value) in best.items()}

    def newest(self, scorer: str) -> dict[int, tuple[float, str]]:
        """(value, judge) of each feature that a scorer scored, the newest."""
        rows = self._rows("select feature, value, judge from scores where scorer = ? order by made", scorer)
        return {int(feature): (float(value), str(judge)) for feature, value, judge in rows}

    def mark(self) -> str:
        """Another text as soon as anything changed."""
        try:
            found = self.path.stat()
        except OSError:
            return "-"
        return f"{found.st_mtime_ns:x}.{found.st_size:x}"

    # -- inside ----------------------------------------------------------------------------------------------------

    def _refuses(self) -> bool:
        return bool(self._rows("select 1 from sqlite_master where type = 'table' and name = 'unscored'"))

    def _explanation(self, row: Sequence[Any]) -> Explanation:
        id, feature, text, method, model, prompt, author, made = row
        key = FeatureKey(self.source.model_id, self.source.source_id, int(feature))
        return Explanation(
            id=id, feature=key, text=text, origin="model", method=method, model=model, prompt=prompt, author=author,
            made=made,
        )  # fmt: skip

    def _rows(self, sql: str, *values: object) -> list[Any]:
        if not self.path.exists():
            return []
        try:
            with closing(self._open()) as db:
                return db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise BadData(f"{NAME} of {self.source} cannot be read: {error}.") from error

    def _open(self) -> sqlite3.Connection:
        """To read; writable where it may be, so that what a killed process left half done is taken back."""
        address = self.path.absolute().as_uri()
        try:
            return sqlite3.connect(f"{address}?mode=rw", uri=True, timeout=10)
        except sqlite3.OperationalError:
            return sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=10)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self._make()
            with closing(sqlite3.connect(self.path, timeout=30)) as db, db:
                yield db
        except (OSError, sqlite3.Error) as error:
            raise NotAvailable(f"The data folder cannot be written, so no answer can be kept ({error}).") from error

    def _make(self) -> None:
        """Makes the file beside, and gives it its name with its tables in it: whoever reads finds all or nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.path.parent, prefix=".") as folder:
            beside = Path(folder) / NAME
            with closing(sqlite3.connect(beside)) as db:
                db.executescript(_TABLES)
            with suppress(FileExistsError):  # somebody else was first, and may have written already
                os.link(beside, self.path)


_COLUMNS = "id, feature, text, method, model, prompt, author, made"


class ModelWords:
    """Explanations by models, as a provider; and the kept scores of all explanations."""

    origin: Origin = "model"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def kept(self, source: SourceKey) -> Kept:
        """What is kept of a source as it is built now."""
        name = f"explanations-{self._bench.build_of(source)}"
        folder = self._bench.settings.data / source.model_id / source.source_id / "derived" / name
        return Kept(folder / NAME, source)

    def of(self, feature: FeatureKey) -> Sequence[Explanation]:
        """Those of one feature, without scores: the door adds them to everybody's."""
        return self.kept(feature.source).explanations(feature.index)

    def briefs(self, source: SourceKey) -> Sequence[Brief]:
        """Those of a whole source."""
        return self.kept(source).briefs()

    def mark(self, source: SourceKey) -> str:
        """Another text as soon as one changed."""
        return self.kept(source).mark()

    def standing(self, source: SourceKey, found: list[Brief]) -> list[Brief]:
        """The same briefs of a source; those that had no score with the one that was kept, if one was."""
        best = self.kept(source).standing()
        if not best:
            return found
        made = []
        for one in found:
            scorer, value = best.get((one.id, digest(one.text)), ("", 0.0))
            better = scorer and (not one.scorer or _rank(scorer) < _rank(one.scorer))
            made.append(replace(one, scorer=scorer, score=value) if better else one)
        return made

    def everywhere(self) -> Iterator[Kept]:
        """What is kept of every source."""
        for source in self._bench.sources():
            kept = self.kept(source.key)
            if kept.path.exists():
                yield kept


def question(model: str, url: str, prompt: str, messages: Sequence[Mapping[str, str]], more: Mapping[str, Any]) -> str:
    """The hash by which an answer is known."""
    body = json.dumps([model, url.rstrip("/"), prompt, [dict(m) for m in messages], dict(more)], sort_keys=True)
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def digest(text: str) -> str:
    """Of an explanation's words: a score of other words is not theirs."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def now() -> str:
    """ISO date and time in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _rank(scorer: str) -> int:
    return ORDER.index(scorer) if scorer in ORDER else len(ORDER)


def _score(blob: bytes) -> Score:
    return _SCORE.validate_python(orjson.loads(zlib.decompress(blob)))
