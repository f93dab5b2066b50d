"""What an import found missing or strange: file, line, and what is wrong; and whether it can be left out.

A grave finding (a line that cannot be read, a number that is none, two features of one index) refuses the import unless
it was told to leave such lines out. The others are reported, and what they are about is imported. So that a file with a
million bad lines fills neither memory nor screen, `KEPT` of each file are kept word by word, and all are counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core.errors import BadData

KEPT = 200
"""Findings of one file that are kept; the rest are counted."""
SAID = 8
"""Findings in the message of a refusal; all kept ones are in the report."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is not as it should be."""

    file: str
    line: int
    """From 1; 0 where it is about the whole file."""
    problem: str
    grave: bool = False

    def __str__(self) -> str:
        where = f"{self.file} line {self.line:,}" if self.line else self.file
        return f"{where}: {self.problem}" if where else self.problem


@dataclass(slots=True)
class Findings:
    """Those of one import, or of one file of it."""

    kept: list[Finding] = field(default_factory=list)
    grave: int = 0
    notes: int = 0
    _of_file: dict[str, int] = field(default_factory=dict)

    def add(self, file: str, line: int, problem: str, *, grave: bool = False) -> None:
        """Notes one."""
        if grave:
            self.grave += 1
        else:
            self.notes += 1
        count = self._of_file.get(file, 0) + 1
        self._of_file[file] = count
        if count <= KEPT:
            self.kept.append(Finding(file, line, problem, grave))

    def extend(self, others: Iterable[Finding], grave: int, notes: int) -> None:
        """Adds those of a part, with how many there were."""
        self.kept.extend(others)
        self.grave += grave
        self.notes += notes

    def json(self) -> dict[str, Any]:
        """As a file keeps it."""
        return {
            "grave": self.grave, "notes": self.notes,
            "kept": [[one.file, one.line, one.problem, one.grave] for one in self.kept],
        }  # fmt: skip

    @classmethod
    def read(cls, found: dict[str, Any]) -> Findings:
        """What `json` made."""
        return cls([Finding(*one) for one in found["kept"]], found["grave"], found["notes"])


class Refused(BadData):
    """An import that was not done; `findings` say why, one by one."""

    def __init__(self, message: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


def refusal(name: str, found: Findings) -> Refused:
    """The error of an import with grave findings."""
    grave = tuple(one for one in found.kept if one.grave)
    said = "".join(f"\n  {one}" for one in grave[:SAID])
    more = f"\n  and {found.grave - min(SAID, len(grave)):,} more" if found.grave > min(SAID, len(grave)) else ""
    count = "One thing is" if found.grave == 1 else f"{found.grave:,} things are"
    return Refused(
        f"{count} wrong with {name}, so nothing of it was imported:{said}{more}\n"
        "Mend the files and run the same command again, or leave such lines out with --leave-out.",
        grave,
    )
