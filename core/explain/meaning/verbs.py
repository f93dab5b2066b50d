"""The command line's `find`, which searches explanations, and `embed`, which makes them ready beforehand."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import Any, get_args

from core.explain.records import MeaningRecord, Origin, Rank
from core.interchange import found
from core.records import Step
from core.terminal import Bar, table, visible
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]


def find_arguments(parser: argparse.ArgumentParser) -> None:
    """What `find` takes."""
    parser.add_argument("query", metavar="QUERY", help="what a feature should be about, in your own words")
    parser.add_argument("--model", metavar="MODEL", help="only features of this model")
    parser.add_argument("--sources", type=_names, default=[], metavar="A,B", help="only these, as 2-res or MODEL/2-res")
    parser.add_argument("--set", dest="set_name", metavar="SET", help="only sources of this set, for example res")
    parser.add_argument("--release", metavar="NAME", help="only sources of this release")
    parser.add_argument(
        "--rank", choices=get_args(Rank), default="both",
        help="order by similarity in meaning, by the query's words, or by the mean of both; default: both",
    )  # fmt: skip
    parser.add_argument("--origin", choices=get_args(Origin), help="only what came from data, models, people, imports")
    parser.add_argument("--density", type=float, metavar="X", help="leave out features active on a larger share")
    parser.add_argument("--score", type=float, metavar="X", help="leave out explanations with a lower score, or none")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="explanations to pass over")


def find(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Runs a search; the first embeds what has no vector yet."""
    with closing(Bar()) as bar:
        record = workbench.words.find(
            asked.query, model_id=asked.model, sources=asked.sources, set_name=asked.set_name, release=asked.release,
            rank=asked.rank, origins=[asked.origin] if asked.origin else (), densest=asked.density,
            trusted=asked.score, top=asked.top, offset=asked.offset, patience=float("inf"), tell=_teller(bar),
        )  # fmt: skip
    request = {"query": record.query, "modelId": asked.model, "offset": asked.offset, "numResults": asked.top}
    return found.search(record, request), lambda: _text(record)


def _text(record: MeaningRecord) -> str:
    if not record.looked:
        return "No feature here has been explained yet."
    if not record.hits:
        return f"Nothing was found among {record.looked:,} explanations."
    rows = [
        (
            str(hit.key), hit.score, "" if hit.similarity is None else hit.similarity, hit.words,
            "" if hit.trust is None else hit.trust, hit.density, visible(hit.text),
        )
        for hit in record.hits
    ]  # fmt: skip
    first, last = record.offset + 1, record.offset + len(record.hits)
    by = f", by {record.embedder} and words" if record.embedder else ", by words"
    head = ("feature", "found", "similarity", "words", "score", "density", "explanation")
    said = [*record.lacking, *(["The query is longer than the sentence model reads."] if record.cut else [])]
    return "\n".join([table(head, rows), f"\n{first:,} to {last:,} of {record.total:,}{by}", *said])


def embed_arguments(parser: argparse.ArgumentParser) -> None:
    """What `embed` takes."""
    parser.add_argument("sources", nargs="*", metavar="MODEL/SOURCE", help="all of them if none is named")
    parser.add_argument("--compact", action="store_true", help="write bytes: a quarter of the size, as the demo has it")
    parser.add_argument(
        "--supabase",
        action="store_true",
        help="those of people into the project of SUPABASE_URL instead; see supabase/",
    )


def embed(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Makes vectors of all explanations, so that nobody has to wait for it."""
    if asked.supabase:
        with closing(Bar()) as bar:
            shown, new = workbench.words.share_vectors(tell=_teller(bar))
        return {"explanations": shown, "embedded": new}, lambda: f"{shown:,} explanations, {new:,} new vectors"
    with closing(Bar()) as bar:
        counts = workbench.words.embed(asked.sources, compact=asked.compact, tell=_teller(bar))
    answer = {"sources": [{"source": str(key), "explanations": count} for key, count in counts.items()]}
    return answer, lambda: table(("source", "explanations"), [(str(key), count) for key, count in counts.items()])


def _teller(bar: Bar) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        if step.doing == "loading":
            bar(f"loading {step.what}", 0, 0)
        elif "/" in step.what:
            bar(f"reading {step.what}", step.done, step.of)
        else:
            bar("embedding explanations", step.done, step.of)

    return tell


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
