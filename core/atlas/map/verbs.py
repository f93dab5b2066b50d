"""The command line's `map`: makes maps of features, and writes one as an interactive file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from core.atlas.map.records import MapRecord, Of
from core.errors import BadInput, NotAvailable
from core.interchange import umap
from core.records import SourceKey, Step
from core.terminal import Bar, table
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
CLUSTERS = 12
"""Of the table that is written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `map` takes."""
    parser.add_argument("sources", nargs="*", metavar="MODEL/SOURCE", help="these lie on one map together")
    parser.add_argument("--of", choices=("decoder", "explanation"), help="what lies near; default: decoder")
    parser.add_argument(
        "--all", action="store_true",
        help="every source by itself, every set of a model and every model in one, of both kinds, instead of one map",
    )  # fmt: skip
    parser.add_argument("--anew", action="store_true", help="make it also where it is made: explanations changed")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another map; pages show that of 0")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="write it as one interactive HTML file")


def map_(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Makes what is asked for and says how it came out."""
    if asked.all:
        if asked.sources or asked.out or asked.of:
            raise BadInput("--all makes maps of everything: leave out sources, --of and --out.")
        records = _all(workbench, asked)
        answer: Any = {"maps": [umap.summary(record) for record in records]}
        return answer, lambda: _table(records)
    if not asked.sources:
        raise BadInput("Name the sources of the map, for example scribe-4l/2-res, or say --all.")
    of: Of = asked.of or "decoder"
    with closing(Bar()) as bar:
        record = workbench.atlas.map(
            asked.sources, of=of, seed=asked.seed, anew=asked.anew, tell=_teller(bar, ", ".join(asked.sources))
        )
    if asked.out:
        try:
            asked.out.write_text(workbench.atlas.map_file(record), encoding="utf-8")
        except OSError as error:
            raise NotAvailable(f"{asked.out} cannot be written: {error.strerror or error}.") from error
    answer = umap.summary(record) | {"clusters": umap.clusters(record), "file": str(asked.out) if asked.out else None}
    return answer, lambda: _text(record, asked.out)


def groups(workbench: Workbench) -> list[list[SourceKey]]:
    """The sources of each map that `--all` makes: each by itself, the sets of a model, all of a model."""
    found: list[list[SourceKey]] = []
    for model in workbench.models():
        keys = sorted(source.key for source in workbench.sources(model_id=model.model_id) if source.alive)
        sets = [[key for key in keys if key.set_name == name] for name in dict.fromkeys(key.set_name for key in keys)]
        for some in ([[key] for key in keys] + sets + [keys]):  # fmt: skip
            if some and some not in found:
                found.append(some)
    return found


def _all(workbench: Workbench, asked: argparse.Namespace) -> list[MapRecord]:
    records: list[MapRecord] = []
    kinds: tuple[Of, ...] = ("decoder", "explanation")
    with closing(Bar()) as bar:
        for keys in groups(workbench):
            for of in kinds:
                name = ", ".join(key.source_id for key in keys)
                record = _one(workbench, keys, of, asked, _teller(bar, f"{of} map of {name}"))
                if record is not None:
                    records.append(record)
    return records


def _one(
    workbench: Workbench, keys: list[SourceKey], of: Of, asked: argparse.Namespace, tell: Callable[[Step], None]
) -> MapRecord | None:
    """A map; nothing where it cannot be made, such as of explanations where nothing is explained."""
    try:
        return workbench.atlas.map(keys, of=of, seed=asked.seed, anew=asked.anew, tell=tell)
    except NotAvailable as error:
        import sys

        print(f"left out: {error}", file=sys.stderr)
        return None


def _teller(bar: Bar, name: str) -> Callable[[Step], None]:
    return lambda step: bar(f"{name}: {step.what if step.doing == 'mapping' else step.doing}", step.done, step.of)


def _table(records: list[MapRecord]) -> str:
    rows = [
        (", ".join(key.source_id for key in r.sources), r.of, len(r), r.dead, len(r.clusters), r.seconds)
        for r in records
    ]
    return table(("sources", "of", "points", "dead", "clusters", "seconds"), rows)


def _text(record: MapRecord, out: Path | None) -> str:
    fitted = "" if record.fitted == len(record) else f", fitted to {record.fitted:,} of them"
    left = f"; {record.dead:,} dead ones are left out" if record.dead else ""
    head = f"{len(record):,} features{fitted}{left}; made on {record.made} in {record.seconds:.1f} s"
    first = sorted((one for one in record.clusters if one.words), key=lambda one: (one.level, -one.size))[:CLUSTERS]
    lines = [head, "", table(("cluster", "level", "features"), [(c.label, c.level, c.size) for c in first])]
    if record.changed:
        lines.append(f"\n{record.changed:,} explanations are others now: --anew makes it again.")
    if out:
        lines.append(f"\nwritten: {out}")
    return "\n".join(lines)
