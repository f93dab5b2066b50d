"""What the setup and the prompt of the steering page ask the server while a run is made ready.

Which feature is meant, the tokens of a text, directions of one's own: each question is a small dictionary from the
browser, each answer another one. Nothing that arrives is trusted. Costs milliseconds, but for saving a direction, which
needs the model.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from components import controls, resources, steer_features, steer_payload
from components.steer_view import Feature
from core.errors import BadInput, WorkbenchError
from core.interchange import numbers
from core.records import FeatureKey, Push, SourceKey, SourceRecord

FOUND = 8
"""Features that are offered for a word."""
LARGEST = 4_000_000
"""Bytes of an uploaded file."""

Asked = dict[str, Any]


def answer(model_id: str, asked: Asked) -> Asked:
    """The answer to one question; a message where it cannot be answered, nothing to what is none."""
    act = {"find": _find, "tokens": _read, "vector": _keep, "drop": _drop, "warm": _warm}.get(str(asked.get("what")))
    if act is None:
        return {}
    try:
        return act(model_id, asked)
    except WorkbenchError as error:
        return {"message": str(error)}


def know(model_id: str, name: str) -> Feature:
    """What is known of the feature or direction `<source>/<index>` of a model.

    Raises:
        NotFound: there is none such.
    """
    return feature(FeatureKey.parse(f"{model_id}/{name}"))


def feature(key: FeatureKey) -> Feature:
    """The same of a key."""
    return steer_features.feature(resources.workbench(), key)


def _warm(model_id: str, asked: Asked) -> Asked:
    resources.workbench().warm(model_id)
    return {}


def _read(model_id: str, asked: Asked) -> Asked:
    """The tokens of a text."""
    return {"tokens": steer_payload.told(resources.workbench().tokenize(model_id, str(asked.get("text", ""))))}


def _find(model_id: str, asked: Asked) -> Asked:
    """The feature that a person means; or some that are called so, if it is a word."""
    text = str(asked.get("text", "")).strip()
    try:
        return {"feature": steer_payload.feature(feature(_meant(model_id, text, str(asked.get("near", "")))))}
    except WorkbenchError as error:
        found = _called(model_id, text)
        if not found:
            raise
        message = "" if text.replace(" ", "").isalpha() else str(error)
        return {"found": found, "message": message}


def _meant(model_id: str, text: str, near: str) -> FeatureKey:
    bench = resources.workbench()
    try:
        key = FeatureKey.parse(text)
        bench.vector(key)
    except WorkbenchError:
        beside = controls.first_source()
        here = _near(near) or (beside.key if beside and beside.key.model_id == model_id else None)
        found = bench.resolve(text, near=here)
        if isinstance(found, SourceKey):
            raise BadInput(f"{found} is a source: add one of its features, for example {found.source_id}:0.") from None
        key = found
    if key.model_id != model_id:
        raise BadInput(f"{key} is not a feature of {model_id}: choose that model first.")
    return key


def _near(text: str) -> SourceKey | None:
    try:
        return FeatureKey.parse(text).source
    except WorkbenchError:
        return None


def _called(model_id: str, text: str) -> list[Asked]:
    """Features whose label has a word, or else that promote it, the most active first; SAEs before neurons."""
    word = text.lower()
    if not word or len(word) > 40:
        return []
    found: list[tuple[bool, bool, int, SourceRecord, Any]] = []
    for source in resources.workbench().searchable(model_id):
        table = resources.workbench().features(source.key)
        for column in ("label", "promotes"):
            near = table[table[column].str.contains(word, case=False, regex=False) & (table["active"] > 0)]
            own = [word in [one.strip() for one in said.lower().split(" · ")] for said in near[column]]
            rows = near.loc[near.index[own]]
            dense = source.kind in ("neurons", "directions")
            rows = rows.sort_values("active", ascending=False).head(FOUND)
            found += [(dense, column == "promotes", -int(row.active), source, row) for row in rows.itertuples()]
    offered: dict[FeatureKey, Asked] = {}
    for _, _, _, source, row in sorted(found, key=lambda one: one[:3]):
        key = FeatureKey(model_id, source.key.source_id, int(row.index))
        if key not in offered and len(offered) < FOUND:
            offered[key] = steer_payload.feature(feature(key)) | {"promotes": str(row.promotes)}
    return list(offered.values())


def _keep(model_id: str, asked: Asked) -> Asked:
    """Saves a direction: numbers that were pasted, those of a file, or the sum of the features at hand."""
    bench, label = resources.workbench(), str(asked.get("label") or "")
    if asked.get("features"):
        pushes = _pushes(asked["features"])
        label = label or " + ".join(f"{p.strength:g} × {p.key.source_id}/{p.key.index}" for p in pushes)[:120]
        return {"feature": steer_payload.vector(bench.new_vector(model_id, features=pushes, label=label, strength=1.0))}
    try:
        strength = float(str(asked.get("strength", "")).replace("−", "-"))
    except ValueError:
        raise BadInput("The strength to begin with is a number, for example 10.") from None
    file = asked.get("file")
    values = _file(file) if file else numbers.read_text(str(asked.get("numbers") or ""))
    made = bench.new_vector(model_id, str(asked.get("hook") or ""), values, label=label, strength=strength)
    return {"feature": steer_payload.vector(made)}


def _pushes(given: Any) -> list[Push]:
    try:
        return [Push(FeatureKey.parse(str(name)), float(amount)) for name, amount in given]
    except (TypeError, ValueError):
        raise BadInput("The features at hand cannot be read: each is an id and a strength that is a number.") from None


def _file(file: Any) -> tuple[float, ...]:
    if not isinstance(file, dict):
        raise BadInput("The file cannot be read.")
    try:
        data = base64.b64decode(str(file.get("data", "")), validate=True)
    except binascii.Error:
        raise BadInput("The file did not arrive whole. Try once more.") from None
    if len(data) > LARGEST:
        raise BadInput(f"The file is too large: {len(data):,} bytes, and at most {LARGEST:,} are read.")
    return numbers.read_file(str(file.get("name", "")), data)


def _drop(model_id: str, asked: Asked) -> Asked:
    resources.workbench().drop_vector(str(asked.get("id", "")))
    return {}
