"""Reads SAEDashboard's batch folders and OpenAI's NeuronRecords, as rows of an export, so that one way leads in.

    batch-N.json {model_id, layer, sae_set, sae_id_suffix, features: [{feature_index, …, activations: […]}]}
        beside it, perhaps, run_settings.json and skipped_indexes.json
    <layer>/<neuron>.json {neuron_id {layer_index, neuron_index}, most_positive_activation_records, random_sample,
        random_sample_by_quantile, quantile_boundaries, mean, variance, …}; a NeuronRecord does not name its model

A batch is read whole, since it is one JSON value; NeuronRecords are read a few hundred files at a time.
"""

from __future__ import annotations

import hashlib
import math
import re
from itertools import pairwise
from typing import Any

import numpy as np
import orjson

from core.interchange.bulk import rows
from core.interchange.bulk.findings import Findings
from core.interchange.bulk.lines import Wrong, value, whole
from core.interchange.bulk.places import Item, Place, natural
from core.interchange.bulk.rows import Json
from core.interchange.bulk.spill import Writing

MOST_BATCH = 1 << 30
MOST_RECORD = 64 << 20
TOGETHER = 256
"""NeuronRecords in one part."""
BATCH = re.compile(r"(?P<top>(?:.*/)?)batch-\d+\.json(?:\.gz)?")
RECORD = re.compile(r"(?P<top>(?:.*/)?)(?P<layer>\d+)/(?P<neuron>\d+)\.json")
BESIDE = ("run_settings.json", "skipped_indexes.json")
_DROPPED = {"activations", "feature_index", "n_prompts_total", "n_tokens_in_prompt", "dataset"}


def source_of(batch: Json) -> tuple[str, str]:
    """(model, source) as a batch says."""
    suffix = rows.text(batch, "sae_id_suffix", 90)
    name = f"{rows.index_of(batch, 'layer')}-{rows.text(batch, 'sae_set', 90)}" + (f"__{suffix}" if suffix else "")
    return rows.text(batch, "model_id", 90), name


def meta_of(batch: Json) -> Json:
    """What a batch says of its source."""
    model, source = source_of(batch)
    features = batch.get("features")
    first = features[0] if isinstance(features, list) and features and isinstance(features[0], dict) else {}
    row = {"id": source, "modelId": model, "num_prompts": first.get("n_prompts_total"),
           "num_tokens_in_prompt": first.get("n_tokens_in_prompt"), "dataset": first.get("dataset")}  # fmt: skip
    return {"source": {name: one for name, one in row.items() if one is not None}}


def read_batch(place: Place, name: str, found: Findings) -> Json | None:
    """A whole batch; None if it cannot be had."""
    text = whole(place, name, found, MOST_BATCH)
    if text is None:
        return None
    try:
        batch = value(text)
        if not isinstance(batch, dict) or not isinstance(batch.get("features"), list):
            raise Wrong("it is no batch of dashboards: it has no list of features")
        source_of(batch)
    except Wrong as error:
        found.add(name, 0, str(error), grave=True)
        return None
    return batch


def saedashboard(place: Place, name: str, made: Writing, model: str, source: str, found: Findings) -> None:
    """Adds a batch; line numbers are those of its features, from 1."""
    batch = read_batch(place, name, found)
    if batch is None:
        return
    if source_of(batch) != (model, source):
        found.add(name, 0, f"it is of {'/'.join(source_of(batch))}, and others are of {model}/{source}", grave=True)
        return
    for number, one in enumerate(batch["features"], 1):
        try:
            if not isinstance(one, dict):
                raise Wrong("it is no feature")
            index = rows.index_of(one, "feature_index")
            acts = one.get("activations") or []
            if not isinstance(acts, list) or not all(isinstance(act, dict) for act in acts):
                raise Wrong("activations is no list of activations")
            dataset = rows.text(one, "dataset")
            read = [_activation(act, index, model, source, dataset) for act in acts]
            row = {k: v for k, v in one.items() if k not in _DROPPED} | {
                "modelId": model, "layer": source, "index": str(index),
                "maxActApprox": max((row["maxValue"] for row, _ in read), default=0.0),
            }  # fmt: skip
            row["hasVector"] = bool(row.get("vector"))
            rows.check_feature(row)
        except Wrong as error:
            found.add(name, number, f"feature {one.get('feature_index') if isinstance(one, dict) else '?'}: {error}",
                      grave=True)  # fmt: skip
            continue
        made.row(index, number, orjson.dumps(row))
        for row, act in read:
            for note in act.notes:
                found.add(name, number, note)
            made.activation(number, act, orjson.dumps({k: v for k, v in row.items() if k not in rows.CONTENT}))


def _activation(act: Json, index: int, model: str, source: str, dataset: str) -> tuple[Json, rows.Activation]:
    """An activation of a batch as an export's row."""
    values = rows.numbers(act, "values", rows.MOST_TOKENS)
    top = float(values.max()) if len(values) else 0.0
    row = {
        "modelId": model, "layer": source, "index": str(index), "tokens": act.get("tokens"),
        "values": act.get("values"), "maxValue": top, "maxValueTokenIndex": int(values.argmax()) if len(values) else 0,
        "minValue": float(values.min()) if len(values) else 0.0, "binMin": act.get("bin_min"),
        "binMax": act.get("bin_max"), "binContains": act.get("bin_contains"), "dataSource": dataset,
        "qualifyingTokenIndex": act.get("qualifying_token_index"), "dfaValues": act.get("dfa_values"),
        "dfaMaxValue": act.get("dfa_maxValue"), "dfaTargetIndex": act.get("dfa_targetIndex"),
    }  # fmt: skip
    return row, rows.activation(row)


def beside(place: Place, top: str, found: Findings) -> Json:
    """`run_settings.json` and `skipped_indexes.json`, if they are there."""
    made: Json = {}
    for name in BESIDE:
        if top + name in place.names and (text := whole(place, top + name, found, MOST_RECORD)) is not None:
            try:
                made[name.removesuffix(".json")] = value(text)
            except Wrong as error:
                found.add(top + name, 0, str(error), grave=True)
    skipped = made.get("skipped_indexes")
    indexes = skipped.get("skipped_indexes") if isinstance(skipped, dict) else None
    if isinstance(indexes, list) and indexes:
        found.add(f"{top}skipped_indexes.json", 0, f"{len(indexes):,} features were skipped when they were made")
    return made


# -- NeuronRecord ------------------------------------------------------------------------------------------------------


def groups(names: list[str]) -> list[str]:
    """Names of parts, each of which stands for `TOGETHER` files: `first|last`."""
    ordered = sorted(names, key=natural)
    some = [ordered[n : n + TOGETHER] for n in range(0, len(ordered), TOGETHER)]
    return [f"{files[0]}|{files[-1]}" for files in some]


def group_item(place: Place, names: list[str], group: str) -> tuple[Item, list[str]]:
    """A group of files as if it were one, and its files."""
    first, _, last = group.partition("|")
    ordered = sorted(names, key=natural)
    files = ordered[ordered.index(first) : ordered.index(last) + 1]
    items = [place.item(name) for name in files]
    mark = hashlib.sha256(repr([(item.name, item.size, item.mark) for item in items]).encode()).hexdigest()[:16]
    return Item(group, sum(item.size for item in items), mark), files


def neuron_records(
    place: Place, files: list[str], made: Writing, model: str, source: str, found: Findings
) -> None:
    """Adds NeuronRecords, one file each."""
    for name in files:
        text = whole(place, name, found, MOST_RECORD)
        if text is None:
            continue
        try:
            record = value(text)
            if not isinstance(record, dict):
                raise Wrong("it is no NeuronRecord")
            _record(record, name, made, model, source, found)
        except Wrong as error:
            found.add(name, 0, str(error), grave=True)


def _record(record: Json, name: str, made: Writing, model: str, source: str, found: Findings) -> None:
    """One neuron: its figures over all tokens, and its records as activations of an export."""
    id_ = record.get("neuron_id")
    if not isinstance(id_, dict):
        raise Wrong("it has no neuron_id")
    index, layer = rows.index_of(id_, "neuron_index"), rows.index_of(id_, "layer_index")
    match = RECORD.fullmatch(name)
    if match and (int(match["layer"]), int(match["neuron"])) != (layer, index):
        raise Wrong(f"it is neuron {index} of layer {layer}, and its name says another")
    mean, variance = rows.number(record, "mean"), rows.number(record, "variance", low=0)
    top, sample = _records(record, "most_positive_activation_records"), _records(record, "random_sample")
    read = [_drawn(one, index, math.nan, math.nan) for one in top]
    read += [_drawn(one, index, -math.inf, -math.inf) for one in sample]
    bounds = rows.numbers(record, "quantile_boundaries")
    quantiles = record.get("random_sample_by_quantile") or []
    if not isinstance(quantiles, list):
        raise Wrong("random_sample_by_quantile is no list")
    edges = _edges(bounds, len(quantiles))
    for n, quantile in enumerate(quantiles):
        read += [_drawn(one, index, *edges[n]) for one in _records({"q": quantile}, "q")]
    values = np.concatenate([one.values for one in read if one.low == -math.inf] or [np.empty(0)])
    row = {
        "modelId": model, "layer": source, "index": str(index), "hookName": f"blocks.{layer}.mlp.hook_post",
        "maxActApprox": max((float(one.values.max()) for one in read), default=0.0),
        "frac_nonzero": float((values > 0).mean()) if len(values) else None,
    }  # fmt: skip
    kept = {k: v for k, v in record.items() if k not in (
        "most_positive_activation_records", "random_sample", "random_sample_by_quantile"
    )}  # fmt: skip
    made.row(index, 0, orjson.dumps(row | {"neuronRecord": kept}))
    made.said(index, mean, None if variance is None else math.sqrt(variance), min(
        (float(one.values.min()) for one in read), default=0.0
    ))  # fmt: skip
    for number, one in enumerate(read):  # two may be alike and still be two: they are told apart by their place
        made.activation(0, one, orjson.dumps({"record": number}))


def _edges(bounds: rows.Numbers, count: int) -> list[tuple[float, float]]:
    """(low, high) of each quantile; boundaries may or may not have the two ends."""
    inner = bounds.tolist()
    if len(inner) == count - 1:
        inner = [inner[0] if inner else 0.0, *inner, inner[-1] if inner else 0.0]
    if len(inner) != count + 1:
        if count:
            raise Wrong(f"it has {len(inner)} quantile_boundaries for {count} quantiles")
        return []
    return list(pairwise(inner))


def _records(record: Json, name: str) -> list[Json]:
    found = record.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Wrong(f"{name} is no list of activation records")
    return found


def _drawn(one: Json, index: int, low: float, high: float) -> rows.Activation:
    tokens, values = rows.texts(one, "tokens"), rows.numbers(one, "activations", rows.MOST_TOKENS)
    if len(tokens) != len(values) or not tokens:
        raise Wrong(f"an activation record has {len(tokens)} tokens and {len(values)} activations")
    return rows.Activation(index, tokens, values, low, high, math.nan, int(values.argmax()), "")


def record_of(feature: Any) -> Json:
    """A feature's record as a NeuronRecord; figures over all tokens, those that nobody measured are null."""
    share = feature.density if not feature.source.signed else 1.0
    mean = feature.mean * share
    variance = share * (feature.deviation**2 + feature.mean**2) - mean**2
    by_kind: dict[str, list[Any]] = {"raw": [], "interval": [], "random": [], "diverse": []}
    for group in feature.groups:
        by_kind[group.kind].append(group)
    tops = [example for group in by_kind["raw"] or by_kind["diverse"] for example in group.examples]
    intervals = sorted(by_kind["interval"], key=lambda group: group.low)
    bounds = [group.low for group in intervals] + [group.high for group in intervals[-1:]]
    return {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {
            "dataclass_name": "NeuronId", "layer_index": feature.source.layer, "neuron_index": feature.key.index,
        },
        "random_sample": [_given(e, feature.bos) for group in by_kind["random"] for e in group.examples],
        "random_sample_by_quantile": [[_given(e, feature.bos) for e in group.examples] for group in intervals],
        "quantile_boundaries": bounds,
        "mean": mean, "variance": max(0.0, variance), "skewness": None, "kurtosis": None,
        "most_positive_activation_records": [_given(e, feature.bos) for e in tops],
    }  # fmt: skip


def _given(example: Any, bos: bool) -> Json:
    skip = int(bos)
    values = [0.0 if t.special else v for t, v in zip(example.tokens, example.values, strict=True)][skip:]
    return {
        "dataclass_name": "ActivationRecord", "tokens": [token.text for token in example.tokens[skip:]],
        "activations": np.asarray(values, np.float32),
    }  # fmt: skip
