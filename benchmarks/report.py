"""How every benchmark reports: rows of ours, a yardstick where there is one, and whether the budget is met."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from core.terminal import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured thing. With a yardstick the budget is of the ratio, else of `ours`."""

    what: str
    ours: float
    unit: str
    budget: str
    """`<= 10` or `>= 20`; empty for a row that only informs."""
    yardstick: float | None = None
    ratio: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None without one."""
        if not self.budget:
            return None
        sign, limit = self.budget.split()
        measured = self.ours if self.ratio is None else self.ratio
        return measured <= float(limit) if sign == "<=" else measured >= float(limit)

    def plain(self) -> dict[str, object]:
        """As the JSON has it."""
        names = ("what", "ours", "yardstick", "ratio", "unit", "budget")
        return {name: asdict(self)[name] for name in names} | {"met": self.met}


def main(description: str, measure: Callable[[bool], Iterable[Row]]) -> int:
    """Runs a benchmark and prints its rows; the status is 1 if a budget is missed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and smaller data; about a minute")
    asked = parser.parse_args()
    return show(list(measure(asked.quick)), as_json=asked.json)


def show(rows: Sequence[Row], *, as_json: bool) -> int:
    """Prints rows; the status is 1 if a budget is missed."""
    if as_json:
        print(json.dumps({"rows": [row.plain() for row in rows]}))
    else:
        header = ("what", "ours", "yardstick", "ratio", "unit", "budget", "met")
        print(table(header, [["" if cell is None else cell for cell in row.plain().values()] for row in rows]))
    return 1 if any(row.met is False for row in rows) else 0
