"""A dataset folder for the Hugging Face hub: our Parquet files, and a card (README.md) that the hub and people read.

The card's front matter names each table, so that the hub's viewer shows it. Nothing is claimed that no file says: a
licence is named by who publishes, and its lack is stated. Names and descriptions are written so that neither YAML nor
Markdown reads them as its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from core.interchange.bulk.parquet import SAID
from core.records import SourceKey, SourceRecord

if TYPE_CHECKING:
    from core.workbench import Workbench

TABLES = {
    "features": "features.parquet", "examples": "examples.parquet", "prompts": "prompts.parquet",
    "explanations": SAID, "activations": "store/entries.parquet", "vectors": "vectors.parquet",
}  # fmt: skip
SAYS = {
    "features": "one row a feature: how often and how strongly it is active, what it promotes and suppresses",
    "examples": "one row a feature: the prompts shown for it, with its values",
    "prompts": "one row a prompt: its tokens",
    "explanations": "one row an explanation: what is said of a feature, by whom or what, and its score",
    "activations": "one row a non-zero activation: feature, token counted from the first prompt's first, value",
    "vectors": "one row a feature: its decoder vector",
}


def publish(bench: Workbench, keys: Sequence[SourceKey], folder: Path, *, title: str, licence: str) -> None:
    """Writes the tables of what is said, and the card."""
    for key in keys:
        _said(bench, key, folder / key.model_id / key.source_id / SAID)
    sources = [bench.source(key) for key in keys]
    (folder / "README.md").write_text(card(folder, sources, title=title, licence=licence), encoding="utf-8")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")


def _said(bench: Workbench, key: SourceKey, path: Path) -> None:
    briefs = [one for one in bench.words.briefs(key) if one.origin != "person"]
    names = ("index", "text", "origin", "method", "model", "scorer", "score")
    columns = {name: pa.array([getattr(one, name) for one in briefs]) for name in names}
    kinds = {"index": pa.uint32(), "score": pa.float64()}
    pq.write_table(pa.table({n: one.cast(kinds.get(n, pa.string())) for n, one in columns.items()}), path)


def card(folder: Path, sources: Sequence[SourceRecord], *, title: str, licence: str) -> str:
    """The README.md."""
    name = title or f"Features of {', '.join(dict.fromkeys(source.key.model_id for source in sources))}"
    return f"{_front(folder, sources, name, licence)}\n# {plain(name)}\n\n{_body(folder, sources, licence)}\n"


def _front(folder: Path, sources: Sequence[SourceRecord], name: str, licence: str) -> str:
    """YAML: every text is a JSON string, which YAML reads as itself."""
    lines = ["---", f"pretty_name: {json.dumps(name, ensure_ascii=False)}"]
    lines += [f"license: {json.dumps(licence)}"] if licence else []
    lines += ["tags:", "- sparse-autoencoder", "- interpretability", "- featurescope", "configs:"]
    for source in sources:
        for table, file in TABLES.items():
            path = f"{source.key}/{file}"
            if (folder / path).is_file():
                lines += [f"- config_name: {json.dumps(f'{source.key.model_id}.{source.key.source_id}.{table}')}"]
                lines += [f"  data_files: {json.dumps(path)}"]
    return "\n".join([*lines, "---", ""])


def _body(folder: Path, sources: Sequence[SourceRecord], licence: str) -> str:
    parts = [
        "What the features of sparse autoencoders (or neurons) respond to and what they do, as Featurescope shows it.",
        "| source | kind | hook point | features | active somewhere | tokens | texts |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(
            f"| {plain(str(s.key))} | {s.kind} | {plain(s.hook) or '–'} | {s.width:,} | {s.alive:,} | {s.tokens:,} | "
            f"{plain(s.dataset) or 'not stated'} |"
            for s in sources
        ),
        "In the folder of each source:\n\n" + "\n".join(
            f"- `{file}`: {SAYS[table]}"
            for table, file in TABLES.items()
            if any((folder / str(s.key) / file).is_file() for s in sources)
        ),
        "Tokens are numbers of the model's vocabulary, which `vocabulary.parquet` beside the sources has as bytes (an "
        "imported source has its own, in its folder). `source.json` says how everything was made.",
        "To look at it:\n\n```\npython -m core import hf://datasets/<you>/<name>\n```\n\nor in Python:\n\n```python\n"
        "from datasets import load_dataset\n\n"
        f'features = load_dataset("<you>/<name>", "{str(sources[0].key).replace("/", ".")}.features")\n```',
        f"Licence: {plain(licence)}." if licence else "Licence: not stated. The texts of the examples have their own.",
    ]  # fmt: skip
    releases = {s.release.name: s.release for s in sources}.values()
    for one in releases:
        about = "; ".join(plain(text) for text in (one.description, one.creator, *one.urls) if text)
        if about:
            parts.append(f"Release {plain(one.name)}: {about}")
    return "\n\n".join(parts)


def plain(text: str) -> str:
    """A text on one line that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&])", r"\\\1", " ".join(text.split()))
