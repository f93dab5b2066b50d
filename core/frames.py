"""Records as rows of a data frame.

A source, model or release is a row. A feature is a row for each of its examples: `tokens` and `values` hold lists, so
`.explode(["tokens", "values"])` gives a row a token. A search is a row a hit, with the same two lists. A test is a row
a token, features by token are a row a token and feature, all activations of a source a row a value. Two texts side by
side are a row a feature, a substitution scan is a row a word. A steering run is a row a generated token of either text,
a sweep a row a strength, a direction a row, a search among explanations a row an explanation, red-teaming a row a text,
what is like a feature a row a feature, a decoder or encoder row a row a coordinate. Of circuits a lens is a row a layer
and token, direct attribution a row a component, features a row a node, what drives a target a row a token. All heads
are a row a head, one of them a row a pair of tokens, its pattern a row a pair of positions. Costs a walk over the
records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.atlas.near.records import (
    ChainRecord,
    FamilyRecord,
    GlanceRecord,
    RowRecord,
    SimilarRecord,
    WiringRecord,
)
from core.atlas.together.records import Near
from core.atlas.universal.records import Match, MatchesRecord, PairRecord, UniversalRecord
from core.evaluate.records import FIGURE, Evaluation, LeaderboardRow
from core.explain.records import MeaningHit, MeaningRecord
from core.explain.redteam.records import RedTeam
from core.records import (
    ActivationsRecord,
    ByTokenRecord,
    ContrastRecord,
    DfaRecord,
    Example,
    FeatureRecord,
    ModelRecord,
    ReleaseRecord,
    SearchHit,
    SearchRecord,
    SourceRecord,
    SteerRecord,
    SubstitutionRecord,
    SweepRecord,
    TestRecord,
    VectorRecord,
)
from core.sources.probe_records import ProbeRecord
from core.techniques.circuits.records import (
    DirectRecord,
    DriversRecord,
    FeaturesRecord,
    LensRecord,
    Node,
)
from core.techniques.graphs.records import GraphEntry, GraphRecord
from core.techniques.heads.records import (
    KINDS,
    HeadActiveRecord,
    HeadFeaturesRecord,
    HeadRecord,
    HeadsRecord,
    PatternRecord,
)

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(records: Sequence[object]) -> pd.DataFrame:
    """The rows of every record, one below the other.

    Raises:
        TypeError: a record of a kind that has no rows.
    """
    import pandas as pd

    return pd.DataFrame([row for n, record in enumerate(records) for row in rows(record, n)])


def rows(record: object, number: int = 0) -> Iterator[dict[str, Any]]:
    """The rows of one record, which is the `number`th of those asked for.

    Raises:
        TypeError: a record of a kind that has no rows.
    """
    for kind, made in _ROWS.items():
        if isinstance(record, kind):
            yield from made(record, number)
            return
    raise TypeError(f"A {type(record).__name__} has no table.")


def _source_rows(record: SourceRecord, number: int) -> Iterator[dict[str, Any]]:
    figures = record.figures
    yield {
        "source": str(record.key), "kind": record.kind, "architecture": record.architecture, "hook": record.hook,
        "layer": record.layer, "width": record.width, "alive": record.alive, "tokens": record.tokens,
        "l0": figures.l0 if figures else None,
        "explained_variance": figures.explained_variance if figures else None,
        "ce_loss_score": figures.ce_loss_score if figures else None,
        "dataset": record.dataset, "prompts": record.prompts, "context": record.context, "dtype": record.dtype,
        "release": record.release.name, "has": ", ".join(record.has), "built": record.built,
    }  # fmt: skip


def _model_rows(record: ModelRecord, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "model": record.model_id, "name": record.name, "architecture": record.architecture, "layers": record.layers,
        "d_model": record.d_model, "heads": record.heads, "d_vocab": record.d_vocab, "context": record.context,
        "parameters": record.parameters, "origin": record.origin,
    }  # fmt: skip


def _release_rows(record: ReleaseRecord, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "release": record.name, "creator": record.creator, "description": record.description,
        "urls": " ".join(record.urls),
    }  # fmt: skip


def _example_rows(record: FeatureRecord, number: int) -> Iterator[dict[str, Any]]:
    for group in record.groups:
        for rank, example in enumerate(group.examples, 1):
            yield {
                "feature": str(record.key), "group": group.kind, "low": group.low, "high": group.high, "rank": rank,
                "value": example.value, "token": example.tokens[example.position].text, "position": example.position,
                "prompt": example.prompt, "document": example.document, "part": example.part,
                "repeats": example.repeats, "text": _text(example), "tokens": [t.text for t in example.tokens],
                "values": list(example.values),
            }  # fmt: skip


def _text(example: Example) -> str:
    return "".join(token.text for token in example.tokens if not token.special)


def _token_rows(record: TestRecord, number: int) -> Iterator[dict[str, Any]]:
    for position, (token, value) in enumerate(zip(record.tokens, record.values, strict=True)):
        yield {
            "feature": str(record.key), "text": number, "position": position, "token": token.text, "id": token.id,
            "special": token.special, "value": value,
        }  # fmt: skip


def _hit_rows(hit: SearchHit, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "feature": str(hit.key), "layer": hit.layer, "label": hit.label, "value": hit.maximum,
        "position": hit.position, "score": hit.score, "fraction": hit.fraction, "percentile": hit.percentile,
        "surprise": hit.surprise, "density": hit.density, "own": hit.own, "promotes": hit.promotes,
    }  # fmt: skip


def _search_rows(record: SearchRecord, number: int) -> Iterator[dict[str, Any]]:
    tokens = [token.text for token in record.tokens]
    for rank, hit in enumerate(record.hits, record.offset + 1):
        (row,) = _hit_rows(hit, number)
        more = {"token": tokens[hit.position], "tokens": tokens, "values": list(hit.values)}
        yield {"text": number, "rank": rank} | row | more


def _by_token_rows(record: ByTokenRecord, number: int) -> Iterator[dict[str, Any]]:
    for row in record.rows:
        for rank, hit in enumerate(row.hits, 1):
            yield {
                "text": number, "position": row.position, "token": record.tokens[row.position].text, "rank": rank,
                "feature": str(hit.key), "value": hit.value, "label": hit.label, "density": hit.density,
            }  # fmt: skip


def _value_rows(record: ActivationsRecord, number: int) -> Iterator[dict[str, Any]]:
    for feature, position, value in record.entries:
        yield {
            "text": number, "feature": f"{record.key}/{feature}", "position": position,
            "token": record.tokens[position].text, "value": value,
        }  # fmt: skip


def _contrast_rows(record: ContrastRecord, number: int) -> Iterator[dict[str, Any]]:
    for stronger, found in enumerate((record.first, record.second)):
        for rank, one in enumerate(found, record.offset + 1):
            yield {
                "texts": number, "stronger_on": stronger, "rank": rank, "feature": str(one.key), "layer": one.layer,
                "label": one.label, "difference": one.difference, "score_0": one.scores[0], "score_1": one.scores[1],
                "value_0": one.maxima[0], "value_1": one.maxima[1], "position_0": one.positions[0],
                "position_1": one.positions[1], "density": one.density, "promotes": one.promotes,
            }  # fmt: skip


def _filling_rows(record: SubstitutionRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.fillings:
        yield {
            "feature": str(record.key), "word": one.word, "value": one.maximum, "at_slot": one.at_slot,
            "token": None if one.position is None else one.tokens[one.position].text, "position": one.position,
            "text": one.text, "tokens": [t.text for t in one.tokens], "values": list(one.values),
        }  # fmt: skip


def _written_rows(record: SteerRecord, number: int) -> Iterator[dict[str, Any]]:
    for name, text in (("default", record.default), ("steered", record.steered)):
        for position, one in enumerate(text.tokens):
            unsteered, steered = (one.logprob, one.other) if name == "default" else (one.other, one.logprob)
            yield {
                "run": number, "text": name, "position": position, "token": one.token.text, "id": one.token.id,
                "logprob": one.logprob, "unsteered": unsteered, "steered": steered,
                "change": None if unsteered is None or steered is None else steered - unsteered,
                "likeliest": [likely.token.text for likely in one.top],
                "likeliest_logprobs": [likely.logprob for likely in one.top],
            }  # fmt: skip


def _sweep_rows(record: SweepRecord, number: int) -> Iterator[dict[str, Any]]:
    for row in record.rows:
        yield {
            "sweep": number, "factor": row.factor, "strengths": [row.factor * p.strength for p in record.pushes],
            "divergence": row.divergence, "perplexity": row.perplexity, "text": row.text.text,
            "tokens": [one.token.text for one in row.text.tokens],
            "logprobs": [one.logprob for one in row.text.tokens],
            "unsteered": [one.other for one in row.text.tokens],
        }  # fmt: skip


def _vector_rows(record: VectorRecord, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "direction": str(record.key), "label": record.label, "hook": record.hook, "strength": record.strength,
        "length": math.hypot(*record.values), "numbers": len(record.values), "made": record.made,
        "values": list(record.values),
    }  # fmt: skip


def _meant_rows(hit: MeaningHit, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "feature": str(hit.key), "explanation": hit.text, "found": hit.score, "similarity": hit.similarity,
        "words": hit.words, "matched": list(hit.matched), "origin": hit.origin, "method": hit.method,
        "model": hit.model, "author": hit.author, "score": hit.trust, "scorer": hit.scorer, "density": hit.density,
        "id": hit.id,
    }  # fmt: skip


def _meaning_rows(record: MeaningRecord, number: int) -> Iterator[dict[str, Any]]:
    for rank, hit in enumerate(record.hits, record.offset + 1):
        (row,) = _meant_rows(hit, number)
        yield {"query": record.query, "rank": rank} | row


def _case_rows(record: RedTeam, number: int) -> Iterator[dict[str, Any]]:
    for case in record.cases:
        yield {
            "feature": str(record.key), "text": case.text, "expected": case.expected, "fired": case.fired,
            "right": case.right, "value": case.value, "surprise": case.surprise, "maker": case.maker, "why": case.why,
            "phrase": case.phrase, "role": case.role, "tokens": [token.text for token in case.tokens],
            "values": list(case.values),
        }  # fmt: skip


def _match_rows(record: Match, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "feature": str(record.of), "match": str(record.feature), "correlation": record.value, "bound": record.bound,
        "p": record.p, "universal": record.universal, "mutual": record.mutual, "token": record.token.text,
        "token_correlation": record.token_value,
    }  # fmt: skip


def _matches_rows(record: MatchesRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.matches:
        yield from _match_rows(one, number)


def _pair_rows(record: PairRecord, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "source": str(record.key), "other": str(record.other), "compared": record.compared, "share": record.share,
        "expected": record.expected, "better_than_token": record.better_than_token, "mutual": record.mutual,
        "median": record.median, "chance": record.chance,
    }  # fmt: skip


def _universal_rows(record: UniversalRecord, number: int) -> Iterator[dict[str, Any]]:
    for pair in record.pairs:
        yield from _pair_rows(pair, number)


def _like_rows(
    record: SimilarRecord | ChainRecord | FamilyRecord | WiringRecord, number: int
) -> Iterator[dict[str, Any]]:
    from core.interchange import similar

    for part, one, weight, adds in similar.rows(record):
        yield {
            "of": str(record.key), "part": part, "feature": str(one.feature), "value": one.value, "weight": weight,
            "adds": adds, "label": one.label, "density": one.density,
        }  # fmt: skip


def _glance_rows(record: GlanceRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.hits:
        yield {"of": str(record.key), "feature": str(one.feature), "value": one.value, "label": one.label}


def _near_rows(record: Near, number: int) -> Iterator[dict[str, Any]]:
    yield {"feature": str(record.feature), "value": record.value}


def _weight_rows(record: RowRecord, number: int) -> Iterator[dict[str, Any]]:
    for n, value in enumerate(record.values):
        yield {"feature": str(record.key), "row": record.side, "hook": record.hook, "coordinate": n, "value": value}


def _probe_rows(record: ProbeRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.texts:
        yield {
            "probe": str(record.key), "label": record.label, "auc": record.auc.value,
            "shuffled_auc": record.control.value, "positive": one.positive, "held_out": one.score, "right": one.right,
            "text": one.text,
        }  # fmt: skip


def _source_token_rows(record: DfaRecord, number: int) -> Iterator[dict[str, Any]]:
    for position, token in enumerate(record.tokens[: record.dfa.target + 1]):
        yield {
            "feature": str(record.key), "target": record.dfa.target, "position": position, "token": token.text,
            "gave": record.dfa.values[position],
            **{f"head_{n}": row[position] for n, row in enumerate(record.dfa.by_head)},
        }  # fmt: skip


def _lens_rows(record: LensRecord, number: int) -> Iterator[dict[str, Any]]:
    for hook, cells in zip(record.hooks, record.rows, strict=True):
        for position, cell in enumerate(cells):
            token, chance = cell.top[0]
            yield {
                "hook": hook, "position": position, "token": record.target.tokens[position].text, "top": token.text,
                "top_probability": chance, "probability": cell.probability, "rank": cell.rank,
            }  # fmt: skip


def _component_rows(record: DirectRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.components:
        yield {"component": one.name, "part": one.part, "layer": one.layer, "head": one.head, "value": one.value}


def _heads_rows(record: HeadsRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.heads:
        scores = {
            f"{kind}{name}": value
            for kind in KINDS
            for name, value in (
                ("", one.score(kind).value), ("_control", one.score(kind).control),
                ("_uniform", one.score(kind).uniform), ("_text", one.score(kind).text),
            )
        }  # fmt: skip
        yield {
            "head": str(one.key), **scores, "bos": one.bos, "self": one.itself, "before": one.before,
            "distance": one.distance,
        }  # fmt: skip


def _attended_rows(record: HeadRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.pairs:
        yield {
            "head": str(record.scores.key), "query": one.query.text, "key": one.key.text, "times": one.times,
            "mean": one.mean, "prompt": one.prompt, "position": one.position, "attended": one.attended,
            "attention": one.weight,
        }  # fmt: skip


def _pattern_rows(record: PatternRecord, number: int) -> Iterator[dict[str, Any]]:
    for to, (row, moved) in enumerate(zip(record.pattern, record.moved, strict=True)):
        for at, (value, length) in enumerate(zip(row, moved, strict=True)):
            yield {
                "head": str(record.key), "position": to, "token": record.tokens[to].text, "attended": at,
                "attended_token": record.tokens[at].text, "attention": value, "moved": length,
            }  # fmt: skip


def _head_feature_rows(record: HeadFeaturesRecord, number: int) -> Iterator[dict[str, Any]]:
    for side in record.sides:
        for one in side.features:
            yield {
                "head": str(record.key), "side": side.side, "feature": str(one.key), "score": one.score,
                "chance": side.chance, "norm": one.norm, "label": one.label, "density": one.density,
            }  # fmt: skip


def _head_active_rows(record: HeadActiveRecord, number: int) -> Iterator[dict[str, Any]]:
    for side in record.sides:
        for one in side.nodes:
            yield {
                "head": str(record.key), "side": side.side, "feature": str(one.key), "position": one.position,
                "activation": one.activation, "value": one.value, "label": one.label, "density": one.density,
            }  # fmt: skip


def _node_rows(record: Node, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "feature": str(record.key), "position": record.position, "activation": record.activation, "norm": record.norm,
        "effect": record.effect, "direct": record.direct, "ablated": record.ablated, "label": record.label,
        "density": record.density,
    }  # fmt: skip


def _nodes_rows(record: FeaturesRecord, number: int) -> Iterator[dict[str, Any]]:
    for node in record.nodes:
        (row,) = _node_rows(node, number)
        yield row | {"token": record.target.tokens[node.position].text}


def _driver_rows(record: DriversRecord, number: int) -> Iterator[dict[str, Any]]:
    for position, (token, one) in enumerate(zip(record.target.tokens, record.tokens, strict=True)):
        yield {
            "position": position, "token": token.text, "ablated": one.ablated, "least": one.low, "most": one.high,
            "integrated": one.integrated,
        }  # fmt: skip


def _graph_rows(record: GraphRecord, number: int) -> Iterator[dict[str, Any]]:
    for one in record.nodes:
        yield {
            "node": one.id, "part": one.part, "layer": one.layer, "position": one.position,
            "token": record.tokens[one.position], "feature": "" if one.key is None else str(one.key),
            "label": one.label, "activation": one.activation, "influence": one.influence,
            "probability": one.probability,
        }  # fmt: skip


def _graph_entry_rows(record: GraphEntry, number: int) -> Iterator[dict[str, Any]]:
    yield {
        "model": record.model_id, "slug": record.slug, "prompt": record.prompt, "nodes": record.nodes,
        "links": record.links, "made": record.made,
    }  # fmt: skip


def _quality_rows(record: Evaluation, number: int) -> Iterator[dict[str, Any]]:
    for one in record.all():
        for key, figure in one.figures().items():
            on, made = one.on(FIGURE[key].part) or (None, "")
            yield {
                "source": str(record.source), "of": one.name, "figure": key, "value": figure.value, "low": figure.low,
                "high": figure.high, "tokens": on.tokens if on else 0, "on": on.name if on else "", "made": made,
            }  # fmt: skip


def _leader_rows(record: LeaderboardRow, number: int) -> Iterator[dict[str, Any]]:
    figures = {key: record.figures[key].value if key in record.figures else None for key in FIGURE}
    yield {
        "source": record.name, "kind": record.kind, "architecture": record.architecture, "hook": record.hook,
        "layer": record.layer, "width": record.width, "release": record.release, **figures, "made": record.made,
        "provenance": record.provenance,
    }  # fmt: skip


_ROWS: dict[type, Callable[[Any, int], Iterator[dict[str, Any]]]] = {
    SourceRecord: _source_rows, ModelRecord: _model_rows, ReleaseRecord: _release_rows,
    FeatureRecord: _example_rows, TestRecord: _token_rows, SearchHit: _hit_rows, SearchRecord: _search_rows,
    ByTokenRecord: _by_token_rows, ActivationsRecord: _value_rows,
    ContrastRecord: _contrast_rows, SubstitutionRecord: _filling_rows,
    SteerRecord: _written_rows, SweepRecord: _sweep_rows, VectorRecord: _vector_rows,
    MeaningHit: _meant_rows, MeaningRecord: _meaning_rows, RedTeam: _case_rows,
    SimilarRecord: _like_rows, ChainRecord: _like_rows, FamilyRecord: _like_rows, WiringRecord: _like_rows,
    ProbeRecord: _probe_rows, DfaRecord: _source_token_rows,
    GlanceRecord: _glance_rows, Near: _near_rows, RowRecord: _weight_rows,
    LensRecord: _lens_rows, DirectRecord: _component_rows, FeaturesRecord: _nodes_rows, Node: _node_rows,
    DriversRecord: _driver_rows,
    HeadsRecord: _heads_rows, HeadRecord: _attended_rows, PatternRecord: _pattern_rows,
    HeadFeaturesRecord: _head_feature_rows, HeadActiveRecord: _head_active_rows,
    GraphRecord: _graph_rows, GraphEntry: _graph_entry_rows,
    Evaluation: _quality_rows, LeaderboardRow: _leader_rows,
    Match: _match_rows, MatchesRecord: _matches_rows, PairRecord: _pair_rows, UniversalRecord: _universal_rows,
}  # fmt: skip
