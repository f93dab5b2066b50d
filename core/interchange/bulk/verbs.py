"""The command line's `import` and `export`: whole sources in and out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

from core.bring.progress import written
from core.bring.verbs import progress_argument
from core.errors import BadInput
from core.interchange.bulk.door import Format
from core.interchange.bulk.findings import Finding
from core.interchange.bulk.records import Brought, Given
from core.terminal import Bar, visible
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
SAID = 12
"""Findings that are written out."""


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """What `import` takes."""
    parser.add_argument("place", metavar="PATH", help="a folder, a .zip or .tar(.gz), or a URL (fsspec, http, s3)")
    parser.add_argument("--as", dest="as_", default="", metavar="MODEL[/SOURCE]", help="what it is called here")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="SOURCE", help="of several sources these; default: all"
    )
    parser.add_argument("--leave-out", action="store_true", help="leave out lines that cannot be read, and say which")
    parser.add_argument("--again", action="store_true", help="over an earlier import of other files")
    progress_argument(parser)


def import_(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Imports, and says what was missing or strange."""
    with closing(Bar()) as bar, written(asked.progress, bar) as progress:
        made = workbench.exchange.bring_in(
            asked.place, as_=asked.as_, only=asked.only, leave_out=asked.leave_out, again=asked.again, tell=progress
        )
        answer = {"sources": [_json(one) for one in made]}
        progress.answer = answer | {"built": list(dict.fromkeys(str(one.key) for one in made))}
    return answer, lambda: "\n\n".join(_text(one) for one in made)


def _json(one: Brought) -> dict[str, Any]:
    return {
        "modelId": one.key.model_id, "sourceId": one.key.source_id, "format": one.format, "features": one.features,
        "width": one.width, "alive": one.alive, "activations": one.activations, "prompts": one.prompts,
        "explanations": one.explanations, "vectors": one.vectors, "there": one.there, "leftOut": one.left_out,
        "needsWeights": list(one.needs_weights), "seconds": one.seconds,
        "findings": [
            {"file": f.file, "line": f.line, "problem": f.problem, "grave": f.grave} for f in one.findings
        ],
    }  # fmt: skip


def _attached(one: Brought) -> str:
    """Explanations that came alone."""
    how = "were attached before, from the same files" if one.there else "are attached"
    return f"{one.key}: {one.explanations:,} explanations of {one.features:,} features {how}; {one.seconds:.1f} s"


def _text(one: Brought) -> str:
    head = f"{one.key}: here already, from the same files" if one.there else f"{one.key}: imported"
    said = "all that was said of them" if one.format == "parquet" else f"{one.explanations:,} explanations"
    lines = [
        _attached(one) if one.format == "explanations" else
        f"{head}. {one.features:,} features, {one.activations:,} activations on {one.prompts:,} texts, "
        f"{said}{', decoder vectors' if one.vectors else ''}; {one.seconds:.1f} s",
        *_findings(one.findings),
    ]  # fmt: skip
    if one.left_out:
        lines.append(f"{one.left_out:,} lines could not be read and were left out.")
    if one.needs_weights:
        lines.append(f"Without its weights: no {', no '.join(one.needs_weights)}. `python -m core join` gives them.")
    return "\n".join(lines)


def _findings(found: tuple[Finding, ...]) -> list[str]:
    lines = [f"  {visible(str(one))}" for one in found[:SAID]]
    if len(found) > SAID:
        lines.append(f"  and {len(found) - SAID:,} more: --json has them, and import.json in the source's folder")
    return lines


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """What `export` takes."""
    parser.add_argument("source", metavar="MODEL/SOURCE")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to; the source gets folders of its own in it")
    parser.add_argument("--format", choices=get_args(Format), default="neuronpedia", help="default: neuronpedia")
    parser.add_argument("--vectors", action="store_true", help="decoder rows go along, for which weights are loaded")
    parser.add_argument("--people", action="store_true", help="explanations that people wrote here go along")
    parser.add_argument("--again", action="store_true", help="over what was exported there before")


def export(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Exports a source."""
    with closing(Bar()) as bar:
        made = workbench.exchange.give_out(
            asked.source, asked.folder, format=asked.format, vectors=asked.vectors, people=asked.people,
            again=asked.again, tell=bar,
        )  # fmt: skip
    return given_json(made), lambda: given_text(made)


def given_json(one: Given) -> dict[str, Any]:
    """What came of an export, as JSON."""
    return {
        "modelId": one.key.model_id, "sourceId": one.key.source_id, "format": one.format, "folder": str(one.folder),
        "files": one.files, "bytes": one.bytes, "features": one.features, "activations": one.activations,
        "explanations": one.explanations, "lost": list(one.lost), "seconds": one.seconds,
    }  # fmt: skip


def given_text(one: Given) -> str:
    """The same for a person."""
    rows = "" if one.format == "explanations" else f"{one.features:,} features, {one.activations:,} activations, "
    lines = [
        f"{one.folder}: {rows}{one.explanations:,} explanations "
        f"in {one.files:,} files, {one.bytes / 1e6:,.1f} MB; {one.seconds:.1f} s"
    ]
    if one.lost:
        lines.append(f"Not in it: {'; '.join(one.lost)}.")
    return "\n".join(lines)




def join_arguments(parser: argparse.ArgumentParser) -> None:
    """What `join` takes."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a build configuration; dataset may be missing")
    parser.add_argument("sources", nargs="*", metavar="MODEL/SOURCE", help="only these; default: all that it names")
    parser.add_argument("--anyway", action="store_true", help="also where the values come out otherwise")


def join(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Gives imported sources their weights."""
    made = workbench.exchange.join(asked.config, asked.sources, anyway=asked.anyway)
    answer = {
        "sources": [
            {"modelId": one.key.model_id, "sourceId": one.key.source_id, "origin": one.origin,
             "compared": one.compared, "agreed": one.agreed}
            for one in made
        ]
    }  # fmt: skip
    return answer, lambda: "\n".join(
        f"{one.key}: has its weights now ({one.origin}); on {one.agreed} of {one.compared} imported examples the "
        "strongest value is the same to a tenth"
        for one in made
    )


def publish_arguments(parser: argparse.ArgumentParser) -> None:
    """What `publish` takes."""
    parser.add_argument("names", nargs="+", metavar="MODEL/SOURCE … DIR", help="the sources, and then the folder")
    parser.add_argument("--title", default="", help="the dataset's name on the hub")
    parser.add_argument("--licence", default="", metavar="ID", help="as the hub calls it, such as mit")
    parser.add_argument("--again", action="store_true", help="over what was written there before")


def publish(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Writes a dataset folder."""
    *names, folder = asked.names
    if not names:
        raise BadInput("Name the sources and then a folder: publish scribe-4l/2-res my-dataset.")
    with closing(Bar()) as bar:
        made = workbench.exchange.publish(
            names, Path(folder), title=asked.title, licence=asked.licence, again=asked.again, tell=bar
        )
    more = "" if asked.licence else "\nIts card states no licence: --licence names one."

    def text() -> str:
        return "\n".join(given_text(one) for one in made) + (
            f"\n{folder}/README.md is its card.{more}\nTo push it: hf upload <you>/<name> {folder} --repo-type dataset"
        )

    return {"folder": str(folder), "sources": [given_json(one) for one in made]}, text
