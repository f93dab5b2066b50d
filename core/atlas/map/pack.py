"""A map as it travels to a browser: bytes for the points, and apart from them what is said of each; or one HTML file.

Points are the length of a header in four bytes, the header in JSON, and arrays at the places that it names, each at a
multiple of eight; little-endian. Two bytes a coordinate, one each for density (in steps of its logarithm from
10^-6 to 1) and score (0 to 1), 0 where there is none: 18 bytes a point, with clusters of three levels. What is said
comes as lines of three texts with tabs between, deflated: 300,000 take some 8 MB.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.atlas.map.files import steps
from core.atlas.map.maps import leading
from core.atlas.map.records import MapRecord
from core.explain.records import Brief
from core.records import SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

VIEW = Path(__file__).with_name("view")
SCRIPTS = ("letters.js", "draw.js", "data.js", "colours.js", "view.js")
DENSITY_LOW = -6.0
PACKED = 6
"""Maps that are kept as bytes."""
_TYPES = {"uint8": "u8", "uint16": "u16", "uint32": "u32", "int16": "i16"}
_PLACE = re.compile(r"<!--([A-Z]+)-->|/\*([A-Z]+)\*/")
_PLAIN = str.maketrans({"\t": "⇥", "\n": "↵", "\r": "␍"})


@dataclass(frozen=True, slots=True)
class Packed:
    """A map as bytes."""

    points: bytes
    texts: bytes


class Packer:
    """Makes maps into bytes and keeps the last ones. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._kept: OrderedDict[tuple[str, ...], Packed] = OrderedDict()
        self._lock = threading.Lock()  # guards _kept

    def mark(self, record: MapRecord) -> str:
        """Another text as soon as the map's bytes are others."""
        import hashlib

        parts = [record.name, record.made, str(record.seconds), *map(self._bench.build_of, record.sources)]
        parts += [self._bench.words.mark(key) for key in record.sources]
        return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]

    def __call__(self, record: MapRecord) -> Packed:
        """The map's points and what is said of them."""
        mark = (record.name, self.mark(record))
        with self._lock:
            held = self._kept.get(mark)
        if held is None:
            held = self._made(record)
            with self._lock:
                self._kept[mark] = held
                if len(self._kept) > PACKED:
                    self._kept.popitem(last=False)
        return held

    def _made(self, record: MapRecord) -> Packed:
        n = len(record)
        density, score = np.zeros(n), np.full(n, np.nan)
        kind, method = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        kinds: list[str] = []
        methods: list[str] = []
        lines: list[str] = [""] * n
        for number, key in enumerate(record.sources):
            here = np.flatnonzero(record.source == number)
            indices = record.index[here].astype(np.int64)
            table = self._bench.features(key)
            density[here] = table["density"].to_numpy()[indices]
            best = leading(self._bench.words.briefs(key))
            its = [best.get(index) for index in indices.tolist()]
            score[here] = [float("nan") if one is None else one.score for one in its]
            method[here] = _numbered([one.method if one else "" for one in its], methods)
            rule = self._bench.words.rule_scores(key).get("kind")
            kind[here] = _numbered([str(rule[index]) if rule else "" for index in indices.tolist()], kinds)
            for point, text in zip(here.tolist(), _texts(table, indices, its), strict=True):
                lines[point] = text
        arrays: dict[str, NDArray[Any]] = {
            "xy": np.stack([steps(record.x), steps(record.y)], axis=1).reshape(-1),
            "source": record.source, "index": record.index, "density": _log_steps(density), "score": _steps(score),
            "kind": kind, "method": method, "clusters_of": record.cluster.reshape(-1),
        }  # fmt: skip
        return packed(record, arrays, kinds, methods, lines)


def packed(
    record: MapRecord, arrays: dict[str, NDArray[Any]], kinds: Sequence[str], methods: Sequence[str],
    lines: Sequence[str],
) -> Packed:  # fmt: skip
    """The bytes of a map; `lines` are the texts of each point, with tabs between."""
    header = {
        "n": len(record), "of": record.of, "levels": len(record.cluster), "density_low": DENSITY_LOW,
        "sources": _sources(record.sources), "kinds": list(kinds), "methods": list(methods),
        "clusters": [
            {"level": c.level, "label": c.label, "x": round(c.x, 4), "y": round(c.y, 4), "size": c.size,
             "parent": c.parent}
            for c in record.clusters
        ],
    }  # fmt: skip
    level = 6 if len(record) < 50_000 else 1
    return Packed(_joined(header, arrays), zlib.compress("\n".join(lines).encode(), level))


def described(bench: Workbench, record: MapRecord) -> tuple[list[str], NDArray[np.float64]]:
    """(what is said of each point's feature, empty where nothing is; [points] how dense each is)."""
    lines, density = [""] * len(record), np.zeros(len(record))
    for number, key in enumerate(record.sources):
        here = np.flatnonzero(record.source == number)
        best = leading(bench.words.briefs(key))
        density[here] = bench.features(key)["density"].to_numpy()[record.index[here].astype(np.int64)]
        for point in here.tolist():
            one = best.get(int(record.index[point]))
            lines[point] = one.text if one else ""
    return lines, density


def _numbered(values: Sequence[str], names: list[str]) -> NDArray[np.uint8]:
    """The number of each value among the names, from 1; 0 for none. New ones are added to `names`, 255 at most."""
    for value in dict.fromkeys(values):
        if value and value not in names and len(names) < 255:
            names.append(value)
    numbers = {name: n + 1 for n, name in enumerate(names)}
    return np.array([numbers.get(value, 0) for value in values], np.uint8)


def _texts(table: Any, indices: NDArray[np.int64], its: Sequence[Brief | None]) -> list[str]:
    columns = (table["label"].to_numpy()[indices], table["promotes"].to_numpy()[indices])
    return [
        "\t".join(str(text or "").translate(_PLAIN) for text in (label, promotes, one.text if one else ""))
        for label, promotes, one in zip(*columns, its, strict=True)
    ]


def _sources(keys: Sequence[SourceKey]) -> list[dict[str, Any]]:
    one_model = len({key.model_id for key in keys}) == 1
    return [
        {"id": str(key), "short": key.source_id if one_model else str(key), "layer": key.layer} for key in keys
    ]  # fmt: skip


def _log_steps(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    with np.errstate(divide="ignore"):
        share = 1 - np.log10(values) / DENSITY_LOW
    return np.where(values > 0, 1 + np.rint(np.clip(share, 0, 1) * 254), 0).astype(np.uint8)


def _steps(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.where(np.isnan(values), 0, 1 + np.rint(np.clip(np.nan_to_num(values), 0, 1) * 254)).astype(np.uint8)


def _joined(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """The header's arrays have places counted from the beginning, so that its length must not depend on them."""
    room = 96 * len(arrays)  # for the places
    begin = len(json.dumps(header, ensure_ascii=False).encode()) + room + 4
    at, table, parts = begin + -begin % 8, [], []
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        table.append([name, _TYPES[array.dtype.name], at, array.size])
        parts.append(raw + b"\0" * (-len(raw) % 8))
        at += len(parts[-1])
    text = json.dumps(header | {"arrays": table}, ensure_ascii=False).encode()
    whole = begin + -begin % 8 - 4
    assert len(text) <= whole, (len(text), whole)
    return whole.to_bytes(4, "little") + text.ljust(whole) + b"".join(parts)


def script() -> str:
    """What draws a map: functions for a page that opens one by `openMap`."""
    return "\n".join((VIEW / name).read_text(encoding="utf-8") for name in SCRIPTS)


def style() -> str:
    """How it looks, in colours that the page gives."""
    return (VIEW / "view.css").read_text(encoding="utf-8")


WHAT = {"decoder": "decoder directions", "explanation": "what is said of features"}


def title(record: MapRecord) -> str:
    """What a map is called."""
    models = {key.model_id for key in record.sources}
    names = ", ".join(key.source_id if len(models) == 1 else str(key) for key in record.sources[:8])
    more = f" and {len(record.sources) - 8} more" if len(record.sources) > 8 else ""
    return f"Map of {WHAT[record.of]}: {names}{more}" + (f" of {models.pop()}" if len(models) == 1 else "")


def about(record: MapRecord) -> tuple[str, ...]:
    """How it was made, in sentences."""
    fitted, n = record.fitted, len(record)
    more = "" if fitted == n else f", fitted to {fitted:,} of them, the rest put among these"
    said = [f"{n:,} features, UMAP by cosine{more}", f"seed {record.seed}, made on {record.made}"]
    said += [f"{_many(record.dead, 'dead feature')} left out"] * bool(record.dead)
    said += [f"{_many(record.unsaid, 'feature')} of which nothing is said left out"] * bool(record.unsaid)
    return (*said, "Near means alike; how far apart distant points are means nothing: islands far out are drawn nearer")


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'s' * (count != 1)}"


def to_html(packed: Packed, title: str, about: Sequence[str]) -> str:
    """The map as one page that needs nothing else: it works from a folder, and asks no server for anything."""
    page = (VIEW / "file.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(title), "ABOUT": "".join(f"<span>{html.escape(one)}</span>" for one in about),
        "STYLE": style() + (VIEW / "file.css").read_text(encoding="utf-8"), "SCRIPT": script(),
        "POINTS": base64.b64encode(packed.points).decode(), "TEXTS": base64.b64encode(packed.texts).decode(),
    }  # fmt: skip
    return _PLACE.sub(lambda found: parts[found[1] or found[2]], page)
