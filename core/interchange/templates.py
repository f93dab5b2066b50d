"""Templates as JSON and as CSV: the prompts, the factors that were asked about, and the features that respond.

Positions count BOS as 0. An F without end (the factor explains everything) is null.
"""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from core.interchange.circuits import key, source
from core.techniques.templates.records import Factor, Prompt, Response, TemplateRecord

Json = dict[str, Any]
COLUMNS = (
    "kind", "slots", "model", "source", "index", "omega_squared", "eta_squared", "F", "p", "q", "active",
    "observations", "levels", "label", "density",
)  # fmt: skip


def record(one: TemplateRecord) -> Json:
    """`responses` by factor, the largest effects first; `control` is the same with labels shuffled."""
    return {
        "modelId": one.ask.model_id,
        "templates": list(one.ask.templates),
        "fillers": {name: list(own) for name, own in one.ask.fillers},
        "at": one.ask.at,
        "combinations": one.combinations,
        "prompts": [prompt(each) for each in one.prompts],
        "factors": [factor(each) for each in one.factors],
        "tests": one.tests,
        "level": one.level,
        "found": one.found,
        "responses": [response(each) for each in one.responses],
        "control": {
            "shuffles": one.control.shuffles, "found": one.control.found, "most": one.control.most,
            "largest": one.control.largest,
        },
        "leftOut": [source(each.key) | {"why": each.why} for each in one.left_out],
    }  # fmt: skip


def prompt(one: Prompt) -> Json:
    """A filled template, and where its slots are."""
    return {
        "text": one.text, "variant": one.variant,
        "mentions": [
            {"slot": m.slot, "filler": m.filler, "begin": m.begin, "positions": list(m.positions)}
            for m in one.mentions
        ],
    }  # fmt: skip


def factor(one: Factor) -> Json:
    """One question."""
    return {
        "kind": one.kind, "slots": list(one.slots), "levels": list(one.levels), "observations": one.observations,
        "tested": one.tested, "found": one.found, "beside": list(one.beside), "confounded": one.confounded,
    }  # fmt: skip


def response(one: Response) -> Json:
    """A feature that responds."""
    return key(one.key) | {
        "kind": one.factor.kind, "slots": list(one.factor.slots), "omegaSquared": one.effect, "etaSquared": one.eta,
        "f": one.f if math.isfinite(one.f) else None, "p": one.p, "q": one.q, "active": one.active,
        "levels": [{"name": level.name, "mean": level.mean, "count": level.count} for level in one.levels],
        "label": one.label, "density": one.density,
    }  # fmt: skip


def table(one: TemplateRecord) -> str:
    """The responses as CSV; what a spreadsheet would take for a formula gets a quote before it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for each in one.responses:
        levels = "; ".join(f"{level.name}: {level.mean:.6g}" for level in each.levels)
        writer.writerow([
            each.factor.kind, _safe(" ".join(each.factor.slots)), each.key.model_id, each.key.source_id,
            each.key.index, each.effect, each.eta, each.f, each.p, each.q, each.active, each.factor.observations,
            _safe(levels), _safe(each.label), "" if each.density is None else each.density,
        ])  # fmt: skip
    return out.getvalue()


def _safe(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
