"""From the columns of a built source to the record of one feature.

Cost: two rows of two memory-mapped files, and the tokens of the prompts shown; no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import BadData, NotFound
from core.models.vocabulary import Vocabulary
from core.records import (
    Attribution,
    Example,
    ExampleGroup,
    FeatureKey,
    FeatureRecord,
    GroupKind,
    Histogram,
    Member,
    Related,
    SourceRecord,
    Token,
    TokenValue,
)
from core.store.layout import SourceData

_KINDS: tuple[GroupKind, ...] = ("diverse", "raw", "interval", "random")


def feature_record(
    key: FeatureKey, source: SourceRecord, data: SourceData, vocabulary: Vocabulary, *, bos: bool
) -> FeatureRecord:
    """The record of one feature; `bos`: whether its model has a BOS, with which every prompt begins.

    Raises:
        NotFound: the source is narrower.
        BadData: its files are damaged.
    """
    if key.index >= source.width:
        raise NotFound(f"{key.source} has features 0 to {source.width - 1}; there is no {key.index}.")
    try:
        return _record(key, source, data, vocabulary, bos)
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        raise BadData(f"The files of {key.source} do not fit together: {error}. Build it again.") from error


def _record(
    key: FeatureKey, source: SourceRecord, data: SourceData, vocabulary: Vocabulary, bos: bool
) -> FeatureRecord:
    row = data.features.row(key.index)
    active = int(row["active"])
    return FeatureRecord(
        key=key,
        source=source,
        label=row["label"],
        active=active,
        density=float(row["density"]) if "density" in row else active / source.tokens if source.tokens else 0.0,
        maximum=row["maximum"],
        minimum=row["minimum"],
        mean=row["mean"],
        deviation=row["deviation"],
        histogram=_histogram(row, "histogram"),
        logit_histogram=_histogram(row, "logits"),
        top_logits=_logits(row["top_ids"], row["top_values"], vocabulary),
        bottom_logits=_logits(row["bottom_ids"], row["bottom_values"], vocabulary),
        alignment=tuple(
            Related(index=int(i), value=float(v), share=float(s))
            for i, v, s in zip(row["coordinate"], row["coordinate_value"], row["coordinate_share"], strict=True)
        ),
        correlated_neurons=_correlated(row, "neuron", None),
        correlated_features=_correlated(row, "related", data),
        neighbours=tuple(
            Related(index=int(i), value=float(v), label=_label(data, int(i)))
            for i, v in zip(row["near"], row["near_cosine"], strict=True)
        ),
        groups=_groups(data.examples.row(key.index), data, vocabulary, key.index),
        bos=bos,
    )


def table(data: SourceData, source: SourceRecord) -> pa.Table:
    """Every feature of a source in a line: index, density, maximum, active, label, promotes."""
    active = data.features.column("active")
    said = "density" in data.features.names  # of an imported source, as its export says it
    density = (
        data.features.column("density") if said else pc.divide(pc.cast(active, pa.float64()), max(1, source.tokens))
    )
    return pa.table(
        {
            "index": pa.array(np.arange(source.width, dtype=np.int32)),
            "density": density,
            "maximum": data.features.column("maximum"),
            "active": active,
            "label": data.features.column("label"),
            "promotes": data.features.column("promotes"),
        }
    )


def _histogram(row: dict[str, Any], name: str) -> Histogram | None:
    counts = row[name]
    if not len(counts):
        return None
    return Histogram(low=row[f"{name}_low"], high=row[f"{name}_high"], counts=tuple(counts.tolist()))


def _logits(ids: Any, values: Any, vocabulary: Vocabulary) -> tuple[TokenValue, ...]:
    return tuple(TokenValue(vocabulary.alone(int(i)), float(v)) for i, v in zip(ids, values, strict=True))


def _correlated(row: dict[str, Any], name: str, data: SourceData | None) -> tuple[Related, ...]:
    """A list of correlations; features carry their labels, coordinates have none."""
    return tuple(
        Related(index=int(i), value=float(r), cosine=float(c), label="" if data is None else _label(data, int(i)))
        for i, r, c in zip(row[name], row[f"{name}_pearson"], row[f"{name}_cosine"], strict=True)
    )


def _label(data: SourceData, index: int) -> str:
    return str(data.features.column("label")[index].as_py())


def _groups(row: dict[str, Any], data: SourceData, vocabulary: Vocabulary, index: int) -> tuple[ExampleGroup, ...]:
    """The groups, each example with its whole prompt; a prompt shown twice is drawn once and shared."""
    prompts: dict[int, tuple[tuple[Token, ...], tuple[float, ...], int, str]] = {}
    begin = 0
    for number, size in zip(row["shown"].tolist(), row["shown_size"].tolist(), strict=True):
        prompt = data.prompt(number)
        values = np.zeros(len(prompt["tokens"]), np.float32)
        values[row["shown_position"][begin : begin + size]] = row["shown_value"][begin : begin + size]
        prompts[number] = (
            vocabulary.draw(prompt["tokens"].tolist()),
            tuple(values.tolist()),
            int(prompt["document"]),
            str(prompt["part"]),
        )
        begin += size
    sources = _attributions(row["position"], None if data.dfa is None else data.dfa.row(index))
    result, first, member = [], 0, 0
    for kind, low, high, share, size in zip(
        row["group_kind"].tolist(),
        row["group_low"].tolist(),
        row["group_high"].tolist(),
        row["group_share"].tolist(),
        row["group_size"].tolist(),
        strict=True,
    ):
        examples = []
        for n in range(first, first + size):
            count = int(row["member_count"][n])
            tokens, values_, document, part = prompts[int(row["prompt"][n])]
            examples.append(
                Example(
                    prompt=int(row["prompt"][n]),
                    document=document,
                    part=part,
                    position=int(row["position"][n]),
                    value=float(row["value"][n]),
                    tokens=tokens,
                    values=values_,
                    repeats=int(row["repeats"][n]),
                    members=_members(row, member, count),
                    dfa=sources[n] if sources else None,
                )
            )
            member += count
        result.append(ExampleGroup(kind=_KINDS[kind], low=low, high=high, share=share, examples=tuple(examples)))
        first += size
    return tuple(result)


def _attributions(positions: Any, row: dict[str, Any] | None) -> tuple[Attribution, ...]:
    """Of each example where its value came from; empty for a source that does not read attention heads."""
    if row is None or not len(row["bias"]):
        return ()
    targets = positions.astype(np.int64)
    begins = np.concatenate([[0], np.cumsum(targets + 1)])
    if len(row["bias"]) != len(targets) or len(row["terms"]) != begins[-1]:
        raise ValueError("dfa.arrow is not of the examples")
    heads = row["heads"].reshape(len(targets), -1)
    return tuple(
        Attribution(
            target=int(target), values=tuple(row["terms"][begin:end].tolist()), heads=tuple(own.tolist()),
            bias=float(bias),
        )
        for target, begin, end, own, bias in zip(targets, begins, begins[1:], heads, row["bias"], strict=False)
    )  # fmt: skip


def _members(row: dict[str, Any], begin: int, count: int) -> tuple[Member, ...]:
    return tuple(
        Member(
            prompt=int(row["member_prompt"][n]),
            position=int(row["member_position"][n]),
            value=float(row["member_value"][n]),
        )
        for n in range(begin, begin + count)
    )
