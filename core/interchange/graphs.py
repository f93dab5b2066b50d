"""Attribution graphs as circuit-tracer's JSON, which Neuronpedia's and circuit-tracer's own pages draw; both ways.

The file is that of circuit-tracer's `frontend/graph_models.py` and Neuronpedia's `api/graph/graph-schema.json`:

    metadata    slug, scan (the model), prompt_tokens, prompt, schema_version, node_threshold, transcoder_list, info,
                feature_details, generation_settings, pruning_settings
    qParams     pinnedIds, supernodes ([name, node, node, …]), linkType, clickedId, sg_pos: what a person made of it
    nodes       node_id, feature, layer ("E" of tokens; one more than the last layer of logits), ctx_idx, feature_type,
                jsNodeId, clerp (the label), influence, activation, token_prob, is_target_logit, …
    links       source, target, weight

`feature` is Cantor's pairing of layer and index since schema 1; before, and in files of other programs, it is anything,
and the index is read from `node_id`. Error nodes were once `0_<layer>_<position>`. What else we know of a graph stands
under keys of ours that other programs pass over: `generation_settings.kind`, `scores`. The features of a set of ours
are found again by `feature_details.neuronpedia_source_set`. A file that is none is refused with the place; one with
more than we draw, with its size. Torch-free.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast, get_args

import orjson

from core.errors import BadInput, WorkbenchError
from core.records import FeatureKey, SourceKey
from core.techniques.graphs.records import (
    GraphEntry,
    GraphFacts,
    GraphLink,
    GraphNode,
    GraphRecord,
    Part,
    Supernode,
    Way,
)

Json = dict[str, Any]
LARGEST = 32 << 20
"""Bytes of a file."""
NODES, LINKS, TOKENS, GROUPS, PINNED = 20_000, 400_000, 4096, 200, 2000
LONG, LABEL = 200, 500
"""Characters of a name, of a label."""
PROMPT = 20_000
TYPES: Mapping[tuple[Way, Part], str] = {
    ("transcoders", "feature"): "cross layer transcoder",
    ("transcoders", "error"): "mlp reconstruction error",
    ("residual", "feature"): "residual sae feature",
    ("residual", "error"): "residual sae reconstruction error",
}
"""`feature_type` of ours; circuit-tracer's word for a feature is the first, whether its transcoders cross layers or
not."""
SLUG = re.compile(r"[A-Za-z0-9_-]{1,100}")
GENERATOR = "Featurescope"


def pair(layer: int, index: int) -> int:
    """Cantor's pairing, as circuit-tracer numbers features over all layers."""
    return (layer + index) * (layer + index + 1) // 2 + index


def unpair(number: int) -> tuple[int, int]:
    """(layer, index) of such a number."""
    w = (math.isqrt(8 * number + 1) - 1) // 2
    index = number - w * (w + 1) // 2
    return w - index, index


# -- writing -----------------------------------------------------------------------------------------------------------


def write(record: GraphRecord) -> Json:
    """The file of a graph."""
    best = max((one.probability or 0.0 for one in record.nodes if one.part == "logit"), default=0.0)
    return {
        "metadata": _metadata(record),
        "qParams": {
            "pinnedIds": list(record.pinned),
            "supernodes": [[one.name, *one.nodes] for one in record.supernodes],
            "linkType": "both",
            "clickedId": record.clicked,
            "sg_pos": "",
        },
        "nodes": [_node(one, record.way, best) for one in record.nodes],
        "links": [{"source": one.source, "target": one.target, "weight": one.weight} for one in record.links],
    }


def _metadata(record: GraphRecord) -> Json:
    facts = record.facts
    settings: Json = {"kind": record.way}
    if facts is not None:
        settings |= {"max_feature_nodes": facts.features, "active_features": facts.active, "links": facts.links}
    found: Json = {
        "slug": record.slug, "scan": record.model_id, "transcoder_list": [], "prompt_tokens": list(record.tokens),
        "prompt": record.prompt, "node_threshold": record.node_threshold, "schema_version": 1,
        "info": {
            "description": record.description, "generator": {"name": GENERATOR},
            "create_time_ms": _milliseconds(record.made),
        },
        "generation_settings": settings,
        "pruning_settings": {"node_threshold": record.node_threshold, "edge_threshold": record.edge_threshold},
    }  # fmt: skip
    if record.set_name:
        found["feature_details"] = {"neuronpedia_source_set": record.set_name}
    if facts is not None:
        found["scores"] = {
            "replacement": facts.replacement, "completeness": facts.completeness, "residual": facts.residual,
        }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def _node(one: GraphNode, way: Way, best: float) -> Json:
    kind = {"token": "embedding", "logit": "logit"}.get(one.part)
    kind = kind or TYPES[("residual" if way == "residual" else "transcoders", one.part)]
    number, js = one.index, one.id
    if one.part == "feature":
        assert one.index is not None
        number, js = pair(one.layer, one.index), f"{one.layer}_{one.index}-0"
    elif one.part == "error":
        number, js = -1, f"{one.layer}_-1-{one.position}"
    elif one.part == "token":
        number, js = one.position, f"E_{one.index}-{one.position}"
    else:
        js = f"L_{one.index}-{one.position}"
    chance = one.probability or 0.0
    return {
        "node_id": one.id, "feature": number, "layer": "E" if one.part == "token" else str(one.layer),
        "ctx_idx": one.position, "feature_type": kind, "token_prob": chance,
        "is_target_logit": one.part == "logit" and chance == best, "run_idx": 0, "reverse_ctx_idx": 0, "jsNodeId": js,
        "clerp": f'Output "{one.label}" (p={chance:.3f})' if one.part == "logit" else one.label,
        "influence": one.influence, "activation": one.activation,
    }  # fmt: skip


def _milliseconds(made: str) -> int | None:
    try:
        return int(datetime.fromisoformat(made).timestamp() * 1000)
    except ValueError:
        return None


def entry(one: GraphEntry) -> Json:
    """A graph of a list, named as Neuronpedia names them."""
    return {
        "modelId": one.model_id, "slug": one.slug, "prompt": one.prompt, "numNodes": one.nodes, "numLinks": one.links,
        "createdAt": one.made,
    }  # fmt: skip


# -- reading -----------------------------------------------------------------------------------------------------------


def read(body: bytes | Json) -> GraphRecord:
    """The graph of a file.

    Raises:
        BadInput: it is no such file, and where; or it is larger than is drawn here.
    """
    if not isinstance(body, bytes):
        try:
            body = orjson.dumps(body)  # half of a surrogate pair, say, is no text that can be kept
        except TypeError as error:
            raise BadInput(f"The graph cannot be written down: {error}.") from None
    if len(body) > LARGEST:
        raise BadInput(f"The file has {len(body) >> 20:,} MB: a graph of at most {LARGEST >> 20} MB can be read.")
    try:
        loaded = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"The file is no JSON: {error}.") from None
    whole = _object(loaded, "the file")
    metadata, asked = _object(whole.get("metadata"), "metadata"), _object(whole.get("qParams", {}), "qParams")
    tokens = tuple(_text(one, f"metadata.prompt_tokens[{n}]", LONG) for n, one in enumerate(
        _list(metadata.get("prompt_tokens"), "metadata.prompt_tokens", TOKENS)
    ))  # fmt: skip
    if not tokens:
        raise BadInput("metadata.prompt_tokens is empty: a graph is about the tokens of a prompt.")
    model = _text(metadata.get("scan"), "metadata.scan", LONG)
    details = metadata.get("feature_details")
    name = details.get("neuronpedia_source_set") if isinstance(details, dict) else None
    name = name if isinstance(name, str) and len(name) <= LONG else ""
    nodes = [
        _read_node(_object(one, f"nodes[{n}]"), f"nodes[{n}]", len(tokens), model, name)
        for n, one in enumerate(_list(whole.get("nodes"), "nodes", NODES))
    ]
    ids = {one.id for one in nodes}
    if len(ids) < len(nodes):
        (twice, _), *_ = Counter(one.id for one in nodes).most_common(1)
        raise BadInput(f"nodes has “{twice}” twice: a node_id names one node.")
    links = _links(_list(whole.get("links"), "links", LINKS), ids)
    way = _way(metadata, nodes)
    return GraphRecord(
        model_id=model, slug=_slug(metadata.get("slug")), tokens=tokens,
        prompt=_text(metadata.get("prompt"), "metadata.prompt", PROMPT),
        way=way, set_name=name, nodes=tuple(nodes), links=links, facts=_facts(metadata, links),
        node_threshold=_share(metadata.get("node_threshold")),
        edge_threshold=_share(_maybe(metadata.get("pruning_settings")).get("edge_threshold")),
        pinned=_pinned(asked.get("pinnedIds", []), ids), supernodes=_supernodes(asked.get("supernodes", []), ids),
        clicked=_clicked(asked.get("clickedId"), ids),
        description=_description(metadata), made=_made(metadata),
    )  # fmt: skip


def _read_node(one: Json, at: str, tokens: int, model: str, set_name: str) -> GraphNode:
    id = _text(one.get("node_id"), f"{at}.node_id", LONG)
    kind = _text(one.get("feature_type"), f"{at}.feature_type", LONG).lower()
    position = _whole(one.get("ctx_idx"), f"{at}.ctx_idx")
    if not 0 <= position < tokens:
        raise BadInput(f"{at}.ctx_idx is {position}, and the prompt has tokens 0 to {tokens - 1}.")
    part = cast(Part, {"embedding": "token", "logit": "logit"}.get(kind, "error" if "error" in kind else "feature"))
    layer = _layer(one.get("layer"), at, part)
    index = _index(id, one.get("feature"), part, layer)
    label = one.get("clerp")
    label = "" if label is None else _text(label, f"{at}.clerp", LABEL)
    chance = _number(one.get("token_prob"), f"{at}.token_prob") if part == "logit" else None
    if part == "logit":
        said = re.fullmatch(r'Output "(.*)" \(p=([0-9.]+)\)', label, re.DOTALL)
        label = said[1] if said else label
        chance = float(said[2]) if said and not chance and said[2].count(".") < 2 else chance
    return GraphNode(
        id, part, layer, position, index, label, _number(one.get("activation"), f"{at}.activation"),
        None if part == "logit" else _number(one.get("influence"), f"{at}.influence"), chance,
        _key(model, layer, set_name, index) if part == "feature" else None,
    )  # fmt: skip


def _layer(value: object, at: str, part: Part) -> int:
    if part == "token":
        return -1
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,4}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10_000:
        return value
    raise BadInput(f"{at}.layer is {_shown(value)}: a layer's number was expected.")


def _index(id: str, number: object, part: Part, layer: int) -> int | None:
    """A feature's number in its source: from the node's name, or from Cantor's pairing."""
    if part == "error":
        return None
    parts = id.split("_")
    if len(parts) == 3 and re.fullmatch(r"[0-9]{1,12}", parts[1]):
        return int(parts[1])
    if part == "feature" and isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**60:
        paired = unpair(number)
        return paired[1] if paired[0] == layer else number
    return None


def _key(model: str, layer: int, set_name: str, index: int | None) -> FeatureKey | None:
    if not set_name or index is None:
        return None
    try:
        return FeatureKey(model, SourceKey(model, f"{layer}-{set_name}").source_id, index)
    except WorkbenchError:
        return None


def _links(rows: Sequence[object], ids: set[str]) -> tuple[GraphLink, ...]:
    """Those between nodes that are there; files of other programs have links to what was cut."""
    found = []
    for n, row in enumerate(rows):
        one = _object(row, f"links[{n}]")
        source, target = (_text(one.get(end), f"links[{n}].{end}", LONG) for end in ("source", "target"))
        weight = _number(one.get("weight"), f"links[{n}].weight")
        if weight is None:
            raise BadInput(f"links[{n}].weight is missing: a number was expected.")
        if source in ids and target in ids:
            found.append(GraphLink(source, target, weight))
    return tuple(found)


def _facts(metadata: Json, links: Sequence[GraphLink]) -> GraphFacts | None:
    settings, scores = _maybe(metadata.get("generation_settings")), _maybe(metadata.get("scores"))
    counts = [settings.get(name) for name in ("active_features", "max_feature_nodes", "links")]
    shares = [scores.get(name) for name in ("replacement", "completeness", "residual")]
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**53 for one in counts):
        return None
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in shares):
        return None
    return GraphFacts(*cast(list[int], counts), *(float(one) for one in shares))  # type: ignore[arg-type]


def _way(metadata: Json, nodes: Sequence[GraphNode]) -> Way:
    kind = _maybe(metadata.get("generation_settings")).get("kind")
    return cast(Way, kind) if kind in get_args(Way) else "elsewhere"


def _pinned(value: object, ids: set[str]) -> tuple[str, ...]:
    names = [one for one in _list(value, "qParams.pinnedIds", PINNED) if isinstance(one, str) and one in ids]
    return tuple(dict.fromkeys(names))


def _supernodes(value: object, ids: set[str]) -> tuple[Supernode, ...]:
    found = []
    for n, row in enumerate(_list(value, "qParams.supernodes", GROUPS)):
        names = [one for one in _list(row, f"qParams.supernodes[{n}]", PINNED) if isinstance(one, str)]
        if own := tuple(dict.fromkeys(name for name in names[1:] if name in ids)):
            found.append(Supernode(_text(names[0], f"qParams.supernodes[{n}][0]", LONG), own))
    return tuple(found)


def _clicked(value: object, ids: set[str]) -> str:
    return value if isinstance(value, str) and value in ids else ""


def _description(metadata: Json) -> str:
    said = _maybe(metadata.get("info")).get("description")
    return said[:LABEL] if isinstance(said, str) else ""


def _made(metadata: Json) -> str:
    at = _maybe(metadata.get("info")).get("create_time_ms")
    if not isinstance(at, int | float) or isinstance(at, bool) or not 0 <= at < 1e14:
        return ""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""


def _slug(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BadInput("metadata.slug is missing: a name for the graph was expected.")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", value)[:100].strip("-") or "graph"


def _share(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(cast(float, value)) if good else None


def _maybe(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _object(value: object, at: str) -> Json:
    if not isinstance(value, dict):
        raise BadInput(f"{_big(at)} is {_shown(value)}: an object was expected, as circuit-tracer writes it.")
    return value


def _list(value: object, at: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise BadInput(f"{_big(at)} is {_shown(value)}: a list was expected, as circuit-tracer writes it.")
    if len(value) > most:
        raise BadInput(f"{_big(at)} has {len(value):,} entries: at most {most:,} are read. Prune the graph further.")
    return value


def _text(value: object, at: str, most: int) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{_big(at)} is {_shown(value)}: text was expected.")
    return value[:most]


def _whole(value: object, at: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInput(f"{_big(at)} is {_shown(value)}: a whole number was expected.")
    return value


def _number(value: object, at: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"{_big(at)} is {_shown(value)}: a number was expected.")
    return float(value)


def _shown(value: object) -> str:
    return "missing" if value is None else f"“{str(value)[:40]}”"


def _big(at: str) -> str:
    return at[0].upper() + at[1:] if " " in at else at
