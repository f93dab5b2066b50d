"""Test suites as files: YAML for people, JSON lines for programs. Either holds one suite or several.

In YAML a suite is `{feature, name, about, threshold, fires: [text, …], silent: [text, …]}`, several are documents with
`---` between. In JSON lines a line `{"feature", "suite", "about", "threshold"}` begins a suite and a line `{"text",
"fires"}` is a text of it. Whatever is written is read back the same, but that YAML has the texts that should fire
before those that should not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import yaml

from core.community.records import Case, CaseResult, Suite, SuiteRun
from core.community.suites import draft
from core.errors import BadInput, WorkbenchError
from core.records import FeatureKey

LARGEST = 4_000_000
"""Bytes of a file."""
HEAD = "# A test suite of Featurescope: python -m core suite run FILE\n"


class _Dumper(yaml.SafeDumper):
    """Lists are indented under their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Line ends other than a line feed are lost in any other style."""
    style = '"' if any(c in text for c in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def to_yaml(suites: Iterable[Suite]) -> str:
    """Suites for a person to read and edit."""
    documents = [
        {
            "feature": str(suite.feature),
            "name": suite.name,
            **({"about": suite.about} if suite.about else {}),
            "threshold": suite.threshold,
            "fires": [case.text for case in suite.cases if case.fires],
            "silent": [case.text for case in suite.cases if not case.fires],
        }
        for suite in suites
    ]
    said = yaml.dump_all(documents, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1 << 30)
    return HEAD + str(said)


def to_lines(suites: Iterable[Suite]) -> str:
    """Suites as JSON lines."""
    lines: list[dict[str, Any]] = []
    for suite in suites:
        own = {"feature": str(suite.feature), "suite": suite.name, "about": suite.about, "threshold": suite.threshold}
        lines += [own, *({"text": case.text, "fires": case.fires} for case in suite.cases)]
    return "".join(orjson.dumps(line).decode() + "\n" for line in lines)


def read(text: str) -> tuple[Suite, ...]:
    """The suites of a file of either form; raises `BadInput` with what is wrong where."""
    if len(text.encode(errors="replace")) > LARGEST:
        raise BadInput(f"The file is larger than {LARGEST // 1_000_000} MB: a suite is much smaller.")
    found = _lines(text) if text.lstrip("\ufeff \r\n\t").startswith("{") else _yaml(text)
    if not found:
        raise BadInput("There is no test suite in the file: it begins with “feature: <model>/<source>/<index>”.")
    return found


def answer(suite: Suite, run: SuiteRun) -> dict[str, Any]:
    """A run as JSON: the verdict and every text, in the suite's order."""
    return {
        "id": suite.id, "name": suite.name, "feature": str(suite.feature), "threshold": run.threshold,
        "build": run.build, "ok": not run.failed, "passed": run.passed, "failed": run.failed,
        "results": [_result(one) for one in run.results],
    }  # fmt: skip


def _result(one: CaseResult) -> dict[str, Any]:
    told = {"text": one.case.text, "fires": one.case.fires, "value": one.value, "passed": one.passed}
    return told | ({"why": one.why} if one.why else {})


def _yaml(text: str) -> tuple[Suite, ...]:
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise BadInput(
            f"The file cannot be read as YAML{where}: {getattr(error, 'problem', None) or error}."
        ) from error
    return tuple(_document(n, one) for n, one in enumerate(documents, 1))


def _document(number: int, found: Any) -> Suite:
    if not isinstance(found, dict) or "feature" not in found:
        raise BadInput(
            f"Suite {number} of the file names no feature: it begins with “feature: <model>/<source>/<index>”."
        )
    if unknown := [str(name) for name in found if name not in _FIELDS]:
        raise BadInput(f"“{unknown[0][:40]}” is nothing that a suite has; it has {', '.join(_FIELDS)}.")
    cases = [
        Case(_text(text, f"Text {n} of “{field}”"), expected)
        for field, expected in (("fires", True), ("silent", False))
        for n, text in enumerate(_texts(found.get(field), field), 1)
    ]
    return _made(found, found.get("name"), cases, f"Suite {number} of the file")


_FIELDS = ("feature", "name", "about", "threshold", "fires", "silent")


def _texts(found: Any, field: str) -> Sequence[Any]:
    if found is None:
        return ()
    if not isinstance(found, list):
        raise BadInput(f"“{field}” is a list of texts, a line with “- ” before it each.")
    return found


def _text(found: Any, what: str) -> str:
    if not isinstance(found, str):
        raise BadInput(f"{what} is not text but {found!r}: put it in quotes."[:300])
    return found


def _lines(text: str) -> tuple[Suite, ...]:
    begun: list[tuple[int, dict[str, Any], list[Case]]] = []
    for number, line in enumerate(text.lstrip("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"Line {number} is no JSON: {error}.") from error
        if isinstance(found, dict) and "feature" in found:
            begun.append((number, found, []))
        elif not isinstance(found, dict) or not isinstance(found.get("fires"), bool):
            raise BadInput(f'Line {number} is neither a suite nor a text of one: {{"text": …, "fires": true}}.')
        elif not begun:
            raise BadInput(f"Line {number} is a text, but no suite has begun: the first line names its feature.")
        else:
            begun[-1][2].append(Case(_text(found.get("text"), f"The text of line {number}"), found["fires"]))
    return tuple(_made(found, found.get("suite"), own, f"The suite of line {n}") for n, found, own in begun)


def _made(found: dict[str, Any], name: Any, cases: Sequence[Case], what: str) -> Suite:
    threshold = found.get("threshold", 0.0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise BadInput(f"{what}: its threshold is {threshold!r}, which is no number."[:300])
    try:
        return draft(
            FeatureKey.parse(_text(found["feature"], "its feature")), _text(name, "its name"), cases,
            threshold=float(threshold), about=_text(found.get("about") or "", "what is said about it"),
        )  # fmt: skip
    except (WorkbenchError, OverflowError) as error:
        raise BadInput(f"{what}: {error}") from error
