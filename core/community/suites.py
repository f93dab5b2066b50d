"""Test suites: texts on which a feature should fire and texts on which it should not, kept, run, shared and run again.

A text fires where the feature's largest activation over its tokens, BOS and other special tokens left out, is above the
suite's threshold. Each run says which build of the source answered, so that one sees whether a source changed since.
Cost: what testing the texts costs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from core.community import bounds, limits, rows
from core.community.asking import someone
from core.community.protocol import Row, Visit
from core.community.records import Case, CaseResult, Suite, SuiteRun
from core.community.schema import new_id, now
from core.errors import BadInput, NotAllowed, NotFound, WorkbenchError
from core.records import FeatureKey, Step, Tell, TestRecord

BREAK = "↵"
"""Stands for a line break of a text where a line is a text."""
TENTH = 0.1
"""Of a feature's maximum: the threshold to begin with. Features are least about what they are for in their weakest
activations, which are also the most frequent ones; a tenth leaves these out and keeps nearly all that a reader would
count."""


class Tester(Protocol):
    """`Workbench.test`."""

    def __call__(self, key: FeatureKey, texts: Sequence[str], *, tell: Tell | None = None) -> Sequence[TestRecord]:
        """A record a text."""


class SuiteJobs:
    """Test suites, as one person sees them."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def get(self, id: str) -> Suite:
        """One suite; raises `NotFound` for one that is not there, or not for this person."""
        id = bounds.identity(id, "test suite")
        found = self._visit.given(id).rows("suite_cards", {"id": id})
        if not found:
            raise NotFound("There is no such test suite here, or it is somebody's private one.")
        return rows.suite(found[0])

    def mine(self) -> tuple[Suite, ...]:
        """Every suite of whoever asks, the last changed first."""
        me = someone(self._visit, "see your test suites")
        return self._found({"owner": me.id}, "-updated_at")

    def by(self, person: str) -> tuple[Suite, ...]:
        """A person's public suites, by the person's id."""
        return self._found({"owner": person, "visibility": "public"})

    def newest(self, *, limit: int = 50, offset: int = 0) -> tuple[Suite, ...]:
        """Public suites of anybody, the newest first."""
        where = {"visibility": "public"}
        found = self._visit.rows("suite_cards", where, order=("-created_at", "id"), limit=limit, offset=offset)
        return tuple(rows.suite(row) for row in found)

    def of(self, feature: FeatureKey) -> tuple[Suite, ...]:
        """The suites of a feature: public ones, and one's own."""
        me = self._visit.me.id if self._visit.me else None
        found = self._found(rows.feature_columns(feature))
        return tuple(suite for suite in found if suite.visibility == "public" or suite.owner == me)

    def new(
        self,
        feature: FeatureKey,
        name: str,
        cases: Sequence[Case],
        *,
        threshold: float = 0.0,
        about: str = "",
        visibility: str = "public",
        id: str | None = None,
    ) -> str:
        """Makes a suite; its id. Asked twice with one id, it is made once."""
        me = someone(self._visit, "keep a test suite")
        row = _row(name=name, cases=cases, threshold=threshold, about=about, visibility=visibility)
        own = {"id": bounds.identity(id, "test suite") if id else new_id(), "owner": me.id}
        self._visit.add("suites", [row | own | rows.feature_columns(feature)], twice="keep")
        return str(own["id"])

    def change(
        self,
        id: str,
        *,
        name: str | None = None,
        cases: Sequence[Case] | None = None,
        threshold: float | None = None,
        about: str | None = None,
        visibility: str | None = None,
    ) -> None:
        """Changes what is given, and nothing else."""
        row = _row(name=name, cases=cases, threshold=threshold, about=about, visibility=visibility)
        self._own(id)
        if row:
            self._visit.change("suites", {"id": bounds.identity(id, "test suite")}, row)

    def delete(self, id: str) -> None:
        """Deletes the suite and its runs."""
        self._visit.remove("suites", {"id": self._own(id).id})

    def runs(self, id: str, *, limit: int = 20) -> tuple[SuiteRun, ...]:
        """What the suite came to when its owner ran it, the newest first."""
        id = bounds.identity(id, "test suite")
        found = self._visit.given(id).rows("suite_runs", {"suite_id": id}, order=("-created_at",), limit=limit)
        return tuple(rows.suite_run(row) for row in found)

    def keep(self, run: SuiteRun) -> None:
        """Keeps what one's own suite came to."""
        suite = self._own(run.suite_id)
        results = [
            {"text": one.case.text, "fires": one.case.fires, "value": one.value, "passed": one.passed, "why": one.why}
            for one in run.results
        ]
        row = {
            "id": new_id(), "suite_id": suite.id, "build": run.build, "threshold": run.threshold, "results": results,
            "passed": run.passed, "failed": run.failed,
        }  # fmt: skip
        self._visit.add("suite_runs", [row])

    def _own(self, id: str) -> Suite:
        me = someone(self._visit, "change a test suite")
        found = self.get(id)
        if found.owner != me.id:
            raise NotAllowed(f"“{found.name}” is {found.owner_name}'s test suite: only they change it.")
        return found

    def _found(self, where: Row, order: str = "-created_at") -> tuple[Suite, ...]:
        return tuple(rows.suite(row) for row in self._visit.rows("suite_cards", where, order=(order,), limit=500))


def run(suite: Suite, test: Tester, build: str, *, most: int, tell: Tell | None = None) -> SuiteRun:
    """Runs every text of a suite, `most` at a time; a text that cannot be run fails, with the reason.

    Raises what keeps all of them from being run: there is no such feature, its weights are not here, too many wait.
    """
    results: list[CaseResult] = []
    for first in range(0, len(suite.cases), most):
        batch = suite.cases[first : first + most]
        told = None if tell is None else _part(tell, first, len(batch), len(suite.cases))
        try:
            found: Iterable[TestRecord | WorkbenchError] = test(suite.feature, [c.text for c in batch], tell=told)
        except BadInput:  # one of them: which, and the others
            found = [_alone(suite.feature, case, test) for case in batch]
        results += [_result(case, one, suite.threshold) for case, one in zip(batch, found, strict=True)]
    return SuiteRun(suite.id, build, suite.threshold, tuple(results), now())


def _part(tell: Tell, first: int, size: int, of: int) -> Tell:
    """Tells how far a batch is as how far the suite is."""

    def told(step: Step) -> None:
        if step.doing == "reading" and step.of:
            step = replace(step, done=first + size * step.done // step.of, of=of)
        tell(step)

    return told


def _alone(feature: FeatureKey, case: Case, test: Tester) -> TestRecord | WorkbenchError:
    try:
        return test(feature, [case.text])[0]
    except BadInput as error:
        return error


def _result(case: Case, found: TestRecord | WorkbenchError, threshold: float) -> CaseResult:
    if isinstance(found, WorkbenchError):
        return CaseResult(case, None, False, str(found))
    value = largest(found)
    return CaseResult(case, value, (value > threshold) == case.fires, test=found)


def largest(test: TestRecord) -> float:
    """What decides whether a text fires: its largest value, special tokens left out."""
    return max((v for v, token in zip(test.values, test.tokens, strict=True) if not token.special), default=0.0)


def suggested(maximum: float) -> float:
    """A threshold to begin with, from a feature's maximum on its build's texts; 0 for a feature without one."""
    return float(f"{TENTH * maximum:.2g}") if maximum > 0 else 0.0


def cases(fires: str, silent: str) -> tuple[Case, ...]:
    """From two fields with a text a line; empty lines are left out, and `BREAK` is a line break."""
    return tuple(
        Case(line.replace(BREAK, "\n"), expected)
        for field, expected in ((fires, True), (silent, False))
        for line in bounds.clean(field, "The texts").split("\n")
        if line.strip()
    )


def fields(cases: Iterable[Case]) -> tuple[str, str]:
    """The two fields again."""
    found = list(cases)
    fires, silent = (
        "\n".join(case.text.replace("\n", BREAK) for case in found if case.fires is expected)
        for expected in (True, False)
    )
    return fires, silent


def draft(
    feature: FeatureKey,
    name: str,
    cases: Sequence[Case],
    *,
    threshold: float = 0.0,
    about: str = "",
    visibility: str = "public",
) -> Suite:
    """A suite that is kept nowhere, such as one of a file; checked as one that is."""
    row = _row(name=name, cases=cases, threshold=threshold, about=about, visibility=visibility)
    own = tuple(Case(one["text"], one["fires"]) for one in row["cases"])
    return Suite(
        id="", owner="", owner_name="", feature=feature, name=row["name"], about=row["about"],
        visibility=row["visibility"], threshold=row["threshold"], cases=own, made="", changed="",
    )  # fmt: skip


def _row(
    *,
    name: str | None = None,
    cases: Sequence[Case] | None = None,
    threshold: float | None = None,
    about: str | None = None,
    visibility: str | None = None,
) -> Row:
    row: Row = {}
    if name is not None:
        row["name"] = bounds.line(name, "The name", limits.TITLE)
    if about is not None:
        row["about"] = bounds.words(about, "The description", limits.DESCRIPTION)
    if visibility is not None:
        row["visibility"] = bounds.visibility(visibility)
    if threshold is not None:
        row["threshold"] = bounds.number(threshold, "The threshold")
    if cases is not None:
        row["cases"] = _checked(cases)
    return row


def _checked(cases: Sequence[Case]) -> list[Row]:
    if not cases:
        raise BadInput("A test suite needs a text: one on which the feature should fire, or should not.")
    if len(cases) > limits.CASES:
        raise BadInput(f"A test suite has at most {limits.CASES} texts: these are {len(cases):,}.")
    texts = [bounds.verbatim(case.text, f"Text {at}", limits.TEST_TEXT) for at, case in enumerate(cases, 1)]
    if empty := [at for at, text in enumerate(texts, 1) if not text]:
        raise BadInput(f"Text {empty[0]} is empty: write it, or leave it out.")
    expected: dict[str, bool] = {}
    for text, case in zip(texts, cases, strict=True):
        if expected.setdefault(text, case.fires) != case.fires:
            raise BadInput(f"“{text[:60]}” should fire and should not: leave one of them out.")
    rows = [{"text": text, "fires": fires} for text, fires in expected.items()]
    size = len(json.dumps(rows, ensure_ascii=False).encode())  # as PostgreSQL writes them
    if size > limits.CASES_BYTES:
        raise BadInput(f"The texts take {size:,} bytes together: at most {limits.CASES_BYTES:,}. Leave some out.")
    return rows
