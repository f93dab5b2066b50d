"""Twenty queries by meaning on the demo: the rank of the first feature that fits, by words and meaning and each alone.

Which features fit was judged by their contexts, not by their explanations, and is written down in `queries.yaml`.

    python -m demo.queries                  the table of the README
    python -m demo.queries --show colours   what a query finds, with the contexts to judge it by

Cost: seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

import yaml

from core.explain.records import Rank
from core.settings import Settings
from core.workbench import Workbench

FILE = Path(__file__).with_name("queries.yaml")
DEEP = 100
"""Results that are looked through."""
CONTEXTS, BEFORE, AFTER = 4, 10, 4


def ranks(bench: Workbench, query: str, fits: list[str]) -> list[int | None]:
    """By words and meaning, by meaning and by words: the place of the first result whose feature fits, None beyond."""
    return [_first(bench, query, fits, rank) for rank in get_args(Rank)]


def _first(bench: Workbench, query: str, fits: list[str], rank: Rank) -> int | None:
    found = bench.words.find(query, model_id="scribe-4l", rank=rank, top=DEEP, patience=float("inf"))
    places = [n for n, hit in enumerate(found.hits, 1) if f"{hit.key.source_id}/{hit.key.index}" in fits]
    return places[0] if places else None


def show(bench: Workbench, query: str) -> None:
    """Prints what a query finds, with contexts."""
    for n, hit in enumerate(bench.words.find(query, model_id="scribe-4l", top=12, patience=float("inf")).hits, 1):
        print(f"\n{n}. {hit.key}  {hit.text}  (similarity {hit.similarity:.2f}, words {hit.words:.2f})")
        groups = bench.feature(hit.key).groups
        for e in [e for group in groups if group.kind == "diverse" for e in group.examples][:CONTEXTS]:
            texts = ["" if t.special else t.text for t in e.tokens]
            before, after = texts[max(0, e.position - BEFORE) : e.position], texts[e.position + 1 :][:AFTER]
            print(f"   {e.value:6.2f} {''.join(before)!r} ⟦{texts[e.position]}⟧ {''.join(after)!r}")


def main() -> int:
    """Prints the table; the status is 1 if a query finds nothing that fits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--show", metavar="QUERY")
    asked = parser.parse_args()
    bench = Workbench(Settings())
    if asked.show:
        show(bench, asked.show)
        return 0
    wanted = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    print("| query | words and meaning | meaning | words | first that fits |\n|---|---|---|---|---|")
    lost = 0
    for one in wanted:
        found = ranks(bench, one["query"], one["fits"])
        lost += found[0] is None
        cells = " | ".join("–" if place is None else str(place) for place in found)
        first = ""
        if found[0] is not None:
            hits = bench.words.find(one["query"], model_id="scribe-4l", top=DEEP, patience=float("inf")).hits
            hit = hits[found[0] - 1]
            first = f"`{hit.key.source_id}/{hit.key.index}` {hit.text}"
        print(f"| {one['query']} | {cells} | {first} |")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
