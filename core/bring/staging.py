"""Sources that a program uploads a batch of features at a time, as Neuronpedia's Python client does.

    <data root>/.staged/<model>/model.json                what the model is said to be
    <data root>/.staged/<model>/sets/<set>.json           what a source set is said to be
    <data root>/.staged/<model>/<source>/                 its features so far, as Neuronpedia's bulk export has them

The client has no word for an end, so what is there is imported after every batch while it is small, and after that
when no batch has come for a moment (`core.interchange.bulk`): an imported source without weights. The same batch twice
is one; other rows for a feature that is there are refused. Cost: a batch written, an import of all that is there.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import math
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.bring.progress import read, write
from core.errors import BadInput, Conflict, NotFound, WorkbenchError
from core.records import SourceKey

FOLDER = ".staged"
SMALL = 1024
"""Features up to which a source is imported at every batch."""
QUIET = 3.0
"""Seconds without a batch after which a larger one is."""
LAYERS = 1000
INDEX = 2**20
KINDS = ("activations", "explanations", "features")
_log = logging.getLogger(__name__)
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What came of a batch."""

    key: SourceKey
    features: int
    activations: int
    explanations: int
    imported: bool
    """Whether its features can be looked at now; else they can in a moment."""


class Staging:
    """Uploads of a data root; `imports` imports a folder, `layers` says how many a model of the catalog has."""

    def __init__(
        self, root: Path, imports: Callable[[Path], object], layers: Callable[[str], int | None],
        built: Callable[[SourceKey], bool],
    ) -> None:  # fmt: skip
        self._root, self._import, self._layers, self._built = root / FOLDER, imports, layers, built
        self._lock = threading.Lock()  # guards the timers and every write
        self._timers: dict[SourceKey, threading.Timer] = {}

    # -- models and sets -----------------------------------------------------------------------------------------------

    def new_model(self, id: str, layers: int, name: str = "", url: str = "") -> Json:
        """A model to upload for; the same again is the same. Raises `BadInput` and `Conflict`."""
        SourceKey(id, "0-x")  # its message says what an id is
        if not 1 <= layers <= LAYERS:
            raise BadInput(f"A model has 1 to {LAYERS:,} layers, not {layers:,}.")
        said = {"id": id, "layers": layers, "displayName": name or id, "website": url or None}
        there = self._layers(id)
        old = read(self._root / id / "model.json")
        if there is not None and not old:
            raise Conflict(f"There is a model {id} here already, of {there:,} layers: make a source set for it.")
        if old and old != said:
            raise Conflict(f"There is a model {id} here already, of {old['layers']:,} layers, and said otherwise.")
        self._write(self._root / id / "model.json", said)
        return said

    def new_set(self, model_id: str, name: str, description: str = "", url: str = "") -> Json:
        """A source set, with a source for each layer. Raises `BadInput`, `NotFound` and `Conflict`."""
        layers = self._layers_of(model_id)
        key = SourceKey(model_id, f"0-{name}")
        said = {"name": name, "description": description or None, "urls": [url] if url else []}
        path = self._root / model_id / "sets" / f"{name}.json"
        old = read(path)
        if old and old != said:
            raise Conflict(f"{model_id} has a source set {name} here already, and said otherwise.")
        taken = next((k for n in range(layers) if self._built(k := SourceKey(model_id, f"{n}-{name}"))), None)
        if taken is not None:
            raise Conflict(f"{taken} was built here: give the source set another name.")
        self._write(path, said)
        return self.set(model_id, key.source_id.split("-", 1)[1])

    def set(self, model_id: str, name: str) -> Json:
        """A source set as Neuronpedia gives it; raises `NotFound` for one that nobody made."""
        said = self._set(model_id, name)
        sources = [
            {"id": f"{n}-{name}", "modelId": model_id, "setName": name} for n in range(self._layers_of(model_id))
        ]
        return {"modelId": model_id, **said, "sources": sources}

    def _set(self, model_id: str, name: str) -> Json:
        good = re.fullmatch(r"[\w.-]+", name, re.ASCII) and re.fullmatch(r"[\w.-]+", model_id, re.ASCII)
        said = read(self._root / model_id / "sets" / f"{name}.json") if good and ".." not in (model_id, name) else {}
        if not said:
            raise NotFound(f"{model_id[:96]} has no source set “{name[:96]}” to upload to: make one first.")
        return said

    def _layers_of(self, model_id: str) -> int:
        SourceKey(model_id, "0-x")
        found = read(self._root / model_id / "model.json").get("layers") or self._layers(model_id)
        if not isinstance(found, int):
            raise NotFound(f"There is no model “{model_id}” here: make it first.")
        return found

    # -- features ------------------------------------------------------------------------------------------------------

    def upload(self, key: SourceKey, features: Sequence[Json]) -> Uploaded:
        """Keeps a batch of features as the client sends them, all or none.

        Raises:
            NotFound: nobody made its source set, or it has no such layer.
            Conflict: one of them was uploaded before, with other rows.
            BadInput: something of one cannot be kept.
        """
        name = key.source_id.split("-", 1)[1]
        self._set(key.model_id, name)
        if key.layer >= self._layers_of(key.model_id):
            raise NotFound(f"{key.model_id} has no layer {key.layer}: {key} cannot be.")
        batch = {str(_index(one)): _rows(key, one) for one in features}
        if len(batch) < len(features):
            raise BadInput("A feature is in the batch twice.")
        folder = self._root / key.model_id / key.source_id
        with self._lock:
            state = read(folder / "state.json") or {"counts": dict.fromkeys(KINDS, 0), "rows": {}}
            marks = {index: _mark(rows) for index, rows in batch.items()}
            other = next((i for i, mark in marks.items() if state["rows"].get(i, mark) != mark), None)
            if other is not None:
                raise Conflict(f"Feature {other} of {key} was uploaded before, and otherwise.")
            new = [batch[i] for i in batch if i not in state["rows"]]
            if new:
                self._keep(key, folder, state, new)
                state["rows"] |= marks
                self._write(folder / "state.json", state)
            small = len(state["rows"]) <= SMALL
            if state.get("imported") != len(state["rows"]):  # also where an import failed, or the server was stopped
                if timer := self._timers.pop(key, None):
                    timer.cancel()
                if small:
                    self._imports(folder)
                else:
                    self._later(key, folder)
        counts = {kind: sum(len(rows[kind]) for rows in batch.values()) for kind in KINDS}
        return Uploaded(key=key, imported=small, **counts)

    def _keep(self, key: SourceKey, folder: Path, state: Json, new: Sequence[dict[str, list[Json]]]) -> None:
        """Writes a batch's files; files of a batch that was not kept to its end are written over."""
        name = key.source_id.split("-", 1)[1]
        said = self._set(key.model_id, name)
        model = read(self._root / key.model_id / "model.json") or {"id": key.model_id}
        self._lines(folder / "model.jsonl", [model])
        self._lines(folder / "release.jsonl", [{"name": name, "description": said["description"] or "",
                                                "urls": said["urls"]}])  # fmt: skip
        self._lines(folder / "sourceset.jsonl", [{"modelId": key.model_id, **said}])
        self._lines(folder / "source.jsonl", [{"modelId": key.model_id, "id": key.source_id, "setName": name}])
        for kind in KINDS:
            rows = [row for one in new for row in one[kind]]
            if rows:
                self._lines(folder / kind / f"batch-{state['counts'][kind]}.jsonl.gz", rows)
                state["counts"][kind] += 1

    def _imports(self, folder: Path) -> None:
        self._import(folder)
        state = read(folder / "state.json")
        self._write(folder / "state.json", state | {"imported": len(state["rows"])})

    def _later(self, key: SourceKey, folder: Path) -> None:
        def run() -> None:
            with self._lock:
                self._timers.pop(key, None)
                try:
                    self._imports(folder)
                except WorkbenchError as error:
                    _log.warning("%s was uploaded and cannot be imported: %s", key, error)
                except Exception:
                    _log.exception("%s was uploaded and cannot be imported", key)

        timer = threading.Timer(QUIET, run)
        timer.daemon = True
        self._timers[key] = timer
        timer.start()

    def _write(self, path: Path, data: Json) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, data)

    def _lines(self, path: Path, rows: Sequence[Json]) -> None:
        """JSON lines, written beside and renamed; the bytes follow from the rows alone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows).encode()
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_bytes(gzip.compress(text, 5, mtime=0) if path.suffix == ".gz" else text)
        os.replace(beside, path)


def _index(one: Json) -> int:
    index = int(one["index"])
    if not 0 <= index < INDEX:
        raise BadInput(f"A feature's index is 0 to {INDEX - 1:,}, not {index}.")
    return index


def _mark(rows: dict[str, list[Json]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]


def _rows(key: SourceKey, one: Json) -> dict[str, list[Json]]:
    """A feature of the client as rows of Neuronpedia's bulk export."""
    index = str(_index(one))
    name = {"modelId": key.model_id, "layer": key.source_id, "index": index}
    acts = [_activation(name, n, act) for n, act in enumerate(one["activations"])]
    top, bottom = one["topLogits"] or [], one["bottomLogits"] or []
    feature = name | {
        "maxActApprox": max((act["maxValue"] for act in acts), default=0.0), "frac_nonzero": one["density"],
        "sourceSetName": key.source_id.split("-", 1)[1],
        "pos_str": [logit["token"] for logit in top], "pos_values": [logit["value"] for logit in top],
        "neg_str": [logit["token"] for logit in bottom], "neg_values": [logit["value"] for logit in bottom],
    }  # fmt: skip
    explanations = [
        name | {"id": f"{key}/{index}/e{n}", "description": said["text"], "typeName": said["methodName"],
                "explanationModelName": said["modelName"]}
        for n, said in enumerate(one["explanations"])
    ]  # fmt: skip
    return {"features": [feature], "activations": acts, "explanations": explanations}


def _activation(name: Json, number: int, act: Json) -> Json:
    tokens, values = act["tokens"], [float(value) for value in act["values"]]
    if len(tokens) != len(values) or not tokens:
        raise BadInput(f"Feature {name['index']}: an activation has {len(tokens)} tokens and {len(values)} values.")
    if not all(map(math.isfinite, values)):
        raise BadInput(f"Feature {name['index']}: an activation has a value that is no number.")
    peak = max(range(len(values)), key=values.__getitem__)
    return name | {
        "id": f"{name['modelId']}/{name['layer']}/{name['index']}/a{number}", "tokens": tokens, "values": values,
        "maxValue": values[peak], "minValue": min(values), "maxValueTokenIndex": peak,
        "binMin": act["quantileMin"], "binMax": act["quantileMax"], "binContains": act["quantileFraction"],
    }  # fmt: skip
