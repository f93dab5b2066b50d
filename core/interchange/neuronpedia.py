"""Our records as Neuronpedia's JSON: feature, activation, tokens, catalog entry, figures.

Keys and meanings follow its API (an index and a data index are strings there, and `layer` is the source id). What
differs on purpose: every index into `tokens` counts in the list that is given, after BOS has been dropped; correlated
features are filled in; and an activation also names its source as `source`, and has no `binContains` where it belongs
to no interval, since its Python client asks for both. The three answers that are about all features (`search-all`,
`search-topk-by-token`, `activation/source`) keep BOS among their tokens, as there, so that a position is the prompt's.
Costs a walk over the record (1 to 2 ms a feature); nothing is computed from tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from core.explain.records import Explanation
from core.interchange import directory, explanations
from core.records import (
    ActivationsRecord,
    Attribution,
    ByTokenRecord,
    Example,
    ExampleGroup,
    FeatureKey,
    FeatureRecord,
    Figures,
    Histogram,
    Related,
    SearchHit,
    SearchRecord,
    SourceKey,
    SourceRecord,
    TestRecord,
    Token,
)

Json = dict[str, Any]

TOP = -1
"""Neuronpedia marks the group of top activations by this lower bound."""

UNUSED: Json = {
    "creatorId": None,
    "dfaValues": [],
    "dfaTargetIndex": None,
    "dfaMaxValue": None,
    "zQIndices": [],
    "zKIndices": [],
    "zValues": [],
    "lossValues": [],
    "logitContributions": None,
}
"""Fields of an activation that belong to attention heads and to accounts, with the values that mean “none”."""

DIGITS = 3
"""Decimals of `activation/source`, which sends very many numbers."""

Drawn = Callable[[Example], Json]


def catalog_entry(source: SourceRecord) -> Json:
    """One line of `GET /api/catalog`."""
    return {
        "modelId": source.key.model_id,
        "sourceId": source.key.source_id,
        "sourceSet": source.key.set_name,
        "kind": source.kind,
        "architecture": source.architecture,
        "hook": source.hook,
        "hookOut": source.hook_out,
        "layer": source.layer,
        "width": source.width,
        "dIn": source.d_in,
        "signed": source.signed,
        "release": source.release.name,
        "dataset": source.dataset,
        "datasetSha256": source.dataset_sha256,
        "prompts": source.prompts,
        "context": source.context,
        "tokens": source.tokens,
        "alive": source.alive,
        "dtype": source.dtype,
        "has": list(source.has),
        "active": source.active,
        "built": source.built,
        "origin": source.origin,
        "figures": None if source.figures is None else asdict(source.figures),
    }


def figures(key: SourceKey, measured: Figures, with_bos: Figures) -> Json:
    """What `eval` prints: the figures without BOS under their own names, and those with it under `with_bos`."""
    named = {"modelId": key.model_id, "sourceId": key.source_id}
    return named | asdict(measured) | {"with_bos": asdict(with_bos)}


def feature(record: FeatureRecord, most: int | None = None, said: Sequence[Explanation] = ()) -> Json:
    """The answer of `GET /api/feature/{modelId}/{layer}/{index}`; `most`: how many activations at most.

    `said` are its explanations; their scores come without each example, which `GET /api/explanation/{id}` has.
    """
    found = {"explanations": [explanations.explanation(one, details=False) for one in said]}
    return _identity(record) | _statistics(record) | _relations(record) | _examples(record, most) | found


def activations(record: FeatureRecord) -> list[Json]:
    """The answer of `POST /api/activation/get`: what `feature` has under `activations`."""
    rows: list[Json] = _examples(record, None)["activations"]
    return rows


def activation(record: TestRecord) -> Json:
    """The answer of `POST /api/activation/new` for one text; the leading BOS is dropped."""
    skip = int(record.bos)
    return (
        UNUSED
        | _strip(record.tokens[skip:], record.values[skip:])
        | _dfa(record.dfa, len(record.tokens), skip)
        | _names(record.key)
        | {"createdAt": None, "dataIndex": None, "dataSource": None}
    )


def tokens(drawn: Sequence[Token], *, bos: bool) -> Json:
    """The answer of `POST /api/tokenize`; `bos`: whether the first of them is the model's BOS, put there."""
    return {
        "tokens": [token.id for token in drawn],
        "tokenStrings": [token.text for token in drawn],
        "prependBos": bos,
    }


def search(record: SearchRecord, *, ignore_bos: bool = True) -> Json:
    """The answer of `POST /api/search-all` for one text; `ignore_bos`: the values of special tokens read 0.

    `maxValue` is over the whole text, as in Neuronpedia, whichever tokens were chosen to sort by; what is ours
    (`fraction`, `percentile`, `surprise`) is about the chosen tokens, at `position`.
    """
    silent = {n for n, token in enumerate(record.tokens) if token.special} if ignore_bos else set()
    return {
        "modelId": record.model_id,
        "tokens": [token.text for token in record.tokens],
        "result": [_hit(hit, silent) for hit in record.hits],
        "sortIndexes": list(record.positions),
        "measure": record.measure,
        "combine": record.combine,
        "offset": record.offset,
        "total": record.total,
        "exact": record.exact,
        "sources": [
            {
                "sourceId": count.key.source_id, "kind": count.kind, "layer": count.layer, "active": count.active,
                "among": count.among, "own": count.own,
            }
            for count in record.sources
        ],
        "leftOut": [{"sourceId": left.key.source_id, "why": left.why} for left in record.left_out],
    }  # fmt: skip


def _hit(hit: SearchHit, silent: set[int]) -> Json:
    """One feature's activation, and how unusual it is."""
    values = [0.0 if n in silent else value for n, value in enumerate(hit.values)]
    peak = max(range(len(values)), key=lambda n: abs(values[n]))
    return {
        "modelId": hit.key.model_id,
        "layer": hit.key.source_id,
        "index": str(hit.key.index),
        "maxValue": values[peak],
        "maxValueIndex": peak,
        "values": values,
        **_dfa(hit.dfa, len(hit.values), 0),
        "neuron": _neuron(hit.key, hit.label, hit.density) | {"promotes": hit.promotes},
        "score": hit.score,
        "position": hit.position,
        "fraction": hit.fraction,
        "percentile": hit.percentile,
        "surprise": hit.surprise,
        "density": hit.density,
        "label": hit.label,
    }


def by_token(record: ByTokenRecord) -> Json:
    """The answer of `POST /api/search-topk-by-token` for one text: a row a token that was looked at.

    `features` is ours: the same features counted over the tokens.
    """
    return {
        "source": record.key.source_id,
        "tokens": [token.text for token in record.tokens],
        "results": [
            {
                "position": row.position,
                "token": record.tokens[row.position].text,
                "isSpecial": record.tokens[row.position].special,
                "topFeatures": [
                    {
                        "featureIndex": hit.key.index,
                        "activationValue": hit.value,
                        "feature": _neuron(hit.key, hit.label, hit.density),
                    }
                    for hit in row.hits
                ],
            }
            for row in record.rows
        ],
        "features": [
            {
                "featureIndex": one.key.index, "frequency": one.frequency, "strength": one.strength,
                "position": one.position, "density": one.density, "label": one.label,
            }
            for one in record.features
        ],
    }  # fmt: skip


def source_activations(records: Sequence[ActivationsRecord]) -> Json:
    """The answer of `POST /api/activation/source`: of each text, every active feature with its places and values."""
    return {"results": [_active(record) for record in records]}


def _active(record: ActivationsRecord) -> Json:
    special = {n for n, token in enumerate(record.tokens) if token.special}
    features: dict[str, list[tuple[int, float]]] = {}
    for feature, position, value in record.entries:
        if position not in special:
            features.setdefault(str(feature), []).append((position, round(value, DIGITS)))
    return {"tokens": [token.text for token in record.tokens], "activeFeatures": features}


def _neuron(key: FeatureKey, label: str, density: float) -> Json:
    """What a list of features says of each; `feature` has the rest."""
    return {
        "modelId": key.model_id,
        "layer": key.source_id,
        "index": str(key.index),
        "frac_nonzero": density,
        "label": label,
        "explanations": [],
    }


def _names(key: FeatureKey) -> Json:
    """By which an activation belongs to its feature; the client reads `source`, its server writes `layer`."""
    return {"modelId": key.model_id, "layer": key.source_id, "source": key.source_id, "index": str(key.index)}


def _identity(record: FeatureRecord) -> Json:
    source = record.source
    return {
        "modelId": record.key.model_id,
        "layer": record.key.source_id,
        "index": str(record.key.index),
        "sourceSetName": record.key.source.set_name,
        "hookName": source.hook,
        "label": record.label,
        "creatorId": None,
        "creator": {"name": source.release.creator},
        "createdAt": source.built,
        "hasVector": False,
        "vector": [],
        "vectorLabel": None,
        "vectorDefaultSteerStrength": record.maximum,
        "model": {"id": record.key.model_id},
        "source": directory.source(source),
        "sourceSet": directory.set_row(source),
        "comments": [],
        "lists": [],
        "umap_x": None,
        "umap_y": None,
        "umap_cluster": None,
        "umap_log_feature_sparsity": None,
    }


def _statistics(record: FeatureRecord) -> Json:
    return {
        "maxActApprox": record.maximum,
        "frac_nonzero": record.density,
        **_bars("freq_hist", record.histogram),
        **_bars("logits_hist", record.logit_histogram),
        "pos_str": [entry.token.text for entry in record.top_logits],
        "pos_values": [entry.value for entry in record.top_logits],
        "neg_str": [entry.token.text for entry in record.bottom_logits],
        "neg_values": [entry.value for entry in record.bottom_logits],
    }


def _bars(name: str, histogram: Histogram | None) -> Json:
    return {
        f"{name}_data_bar_heights": [] if histogram is None else list(histogram.counts),
        f"{name}_data_bar_values": [] if histogram is None else list(histogram.centres),
    }


def _relations(record: FeatureRecord) -> Json:
    return {
        "neuron_alignment_indices": _indices(record.alignment),
        "neuron_alignment_values": _values(record.alignment),
        "neuron_alignment_l1": [entry.share or 0.0 for entry in record.alignment],
        # The peers' files call the cosine of the two activation vectors "l1": kept, so that their readers find it.
        "correlated_neurons_indices": _indices(record.correlated_neurons),
        "correlated_neurons_pearson": _values(record.correlated_neurons),
        "correlated_neurons_l1": [entry.cosine or 0.0 for entry in record.correlated_neurons],
        "correlated_features_indices": _indices(record.correlated_features),
        "correlated_features_pearson": _values(record.correlated_features),
        "correlated_features_l1": [entry.cosine or 0.0 for entry in record.correlated_features],
        "topkCosSimIndices": _indices(record.neighbours),
        "topkCosSimValues": _values(record.neighbours),
        "decoder_weights_dist": [],
    }


def _indices(related: tuple[Related, ...]) -> list[int]:
    return [entry.index for entry in related]


def _values(related: tuple[Related, ...]) -> list[float]:
    return [entry.value for entry in related]


def _examples(record: FeatureRecord, most: int | None) -> Json:
    """The raw ranking and the intervals as `activations`, strongest first; the folded ranking beside them."""
    drawn = _each_once(int(record.bos))
    kinds = ("diverse", "raw", "interval")
    by_kind = {kind: [group for group in record.groups if group.kind == kind] for kind in kinds}

    def rows(groups: list[ExampleGroup]) -> list[Json]:
        pairs = [(group, example) for group in groups for example in group.examples]
        pairs.sort(key=lambda pair: -drawn(pair[1])["maxValue"])
        return [_example(record, group, example, drawn(example)) for group, example in pairs[:most]]

    return {
        "activations": rows((by_kind["raw"] or by_kind["diverse"]) + by_kind["interval"]),
        "diverseActivations": rows(by_kind["diverse"]),
    }


def _each_once(skip: int) -> Drawn:
    """The strip of an example without its first `skip` tokens; a prompt that several groups show is drawn once."""
    made: dict[int, Json] = {}

    def strip(example: Example) -> Json:
        if example.prompt not in made:
            made[example.prompt] = _strip(example.tokens[skip:], example.values[skip:])
        return made[example.prompt]

    return strip


def _example(record: FeatureRecord, group: ExampleGroup, example: Example, strip: Json) -> Json:
    top = group.kind != "interval"
    return (
        UNUSED
        | strip
        | _dfa(example.dfa, len(example.tokens), int(record.bos))
        | _names(record.key)
        | {
            "id": f"{record.key}/{group.kind}/{example.prompt}/{example.position}",
            "dataIndex": str(example.prompt),
            "dataSource": example.part or record.source.dataset,
            "createdAt": record.source.built,
            "binMin": TOP if top else group.low,
            "binMax": record.maximum if top else group.high,
            "binContains": None if top else group.share,
            "qualifyingTokenIndex": example.position - record.bos,
            "repeats": example.repeats,
        }
    )


def _dfa(found: Attribution | None, tokens: int, skip: int) -> Json:
    """Direct feature attribution in the list of tokens that is given, without the first `skip`; none says none."""
    if found is None:
        return {name: UNUSED[name] for name in ("dfaValues", "dfaTargetIndex", "dfaMaxValue")}
    values = [*found.values, *[0.0] * (tokens - len(found.values))][skip:]
    return {"dfaValues": values, "dfaTargetIndex": found.target - skip, "dfaMaxValue": max(values, default=0.0)}


def _strip(tokens: tuple[Token, ...], values: tuple[float, ...]) -> Json:
    """Tokens with their values; special tokens read 0, as Neuronpedia's server answers, and never are the maximum."""
    shown = [0.0 if token.special else value for token, value in zip(tokens, values, strict=True)]
    highest = max(shown, default=0.0)
    return {
        "tokens": [token.text for token in tokens],
        "values": shown,
        "maxValue": highest,
        "maxValueTokenIndex": shown.index(highest) if shown else 0,
        "minValue": min(shown, default=0.0),
    }
