"""Where quality is kept: `<root>/<model>/<source>/derived/eval-<hash>/`, a folder for a part and token set.

    made.json          the part, what it was made from, its token set
    <subject>.json     what was measured of one dictionary: `source`, `pca`, `random`, a control, …
    refused.json       why a dictionary cannot be measured so, by subject: nobody need try again

The hash is of the part, the weights, the model and the token set, so that what is there need not be measured again, and
the subjects of a folder can be compared. Of each part a reader gets the folder that was measured last. `figures.json`,
in a folder of its own, is what the catalog shows (`core.evaluate.files`). Torch-free; a damaged file counts as absent.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from core.errors import NotAvailable
from core.evaluate.records import PARTS, Evaluation, Part, Quality
from core.records import SourceKey
from core.store.derived import MADE, folder, read_made

FORMAT = 1
"""Of the methods and of the files; others are measured anew."""
KIND, OWN, REFUSED = "eval", "source", "refused.json"
_QUALITY = TypeAdapter(Quality)
REMEMBERED = 20_000
"""Files whose records are kept in memory."""
_READ: dict[Path, tuple[tuple[int, int, int], Quality | None]] = {}
_LOCK = threading.Lock()  # guards it


def made_from(part: Part, build: Mapping[str, Any], on: str) -> dict[str, Any]:
    """What a part of the source with this build stamp depends on; `on` is the SHA-256 of what it is measured on."""
    names = ("weights_sha256", "model_sha256", "model_settings_sha256", "hook", "hook_out")
    return {"format": FORMAT, "part": part, "on": on} | {name: build.get(name) for name in names}


def keep(source: Path, made: Mapping[str, Any], quality: Quality) -> Path:
    """Keeps what `quality` has of the part that `made` is of, in the source's folder of the writable root.

    Raises:
        NotAvailable: it cannot be written.
    """
    others: dict[str, Any] = {name: None for name in PARTS if name != made["part"]}
    return _keep(folder(source, KIND, made), made, f"{quality.name}.json", asdict(replace(quality, **others)))


def refuse(source: Path, made: Mapping[str, Any], head: Quality, why: str) -> Path:
    """Keeps why the part that `made` is of cannot be measured of the dictionary that `head` names; raises as `keep`."""
    place = folder(source, KIND, made)
    told = _refused(place) | {head.name: (head.weights_sha256, why)}
    return _keep(place, made, REFUSED, told)


def _keep(place: Path, made: Mapping[str, Any], name: str, value: object) -> Path:
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not (place / MADE).is_file():
            _write(place / MADE, {"from": dict(made)})
        _write(place / name, value)
    except OSError as error:
        raise NotAvailable(f"{place} was not written: {error.strerror or error}. Set FEATURESCOPE_DATA.") from error
    return place


def refused(folders: Sequence[Path], made: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """(SHA-256 of the weights, why) of what cannot be measured of a part, by subject, from any folder of a source."""
    found: dict[str, tuple[str, str]] = {}
    for source in reversed(folders):
        found |= _refused(folder(source, KIND, made))
    return found


def _refused(place: Path) -> dict[str, tuple[str, str]]:
    try:
        told = json.loads((place / REFUSED).read_text(encoding="utf-8"))
        return {str(name): (str(weights), str(why)) for name, (weights, why) in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def kept(folders: Sequence[Path], made: Mapping[str, Any]) -> dict[str, Quality]:
    """What any of a source's folders has of a part: by subject."""
    found: dict[str, Quality] = {}
    for source in folders:
        for name, quality in _subjects(folder(source, KIND, made), str(made["part"])).items():
            found.setdefault(name, quality)
    return found


def latest(folders: Sequence[Path], key: SourceKey, weights: str) -> Evaluation | None:
    """Of each part what was measured last with weights of this SHA-256, from any of a source's folders, or None."""
    found: dict[str, Quality] = {}
    lacking: dict[str, str] = {}
    for part in PARTS:
        newest: tuple[str, dict[str, Quality]] = ("", {})
        for place in _places(folders, part, weights):
            subjects = _subjects(place, part)
            measured = (subjects[OWN].on(part) or (None, ""))[1] if OWN in subjects else ""
            if measured > newest[0]:
                newest = (measured, subjects)
            for name, (_, why) in _refused(place).items():
                if name == OWN and not newest[0]:
                    lacking[part] = why
        if newest[0]:
            lacking.pop(part, None)
        for name, quality in newest[1].items():
            values = {part: getattr(quality, part)}
            found[name] = replace(found[name], **values) if name in found else quality
    return evaluation(key, found, lacking) if OWN in found else None


def evaluation(key: SourceKey, subjects: Mapping[str, Quality], lacking: Mapping[str, str] | None = None) -> Evaluation:
    """The record of some subjects, of which `source` is one."""
    rest = sorted((q for name, q in subjects.items() if name != OWN), key=lambda q: q.name)
    return Evaluation(
        source=key, own=subjects[OWN],
        baselines=tuple(q for q in rest if q.kind != "control"), controls=tuple(q for q in rest if q.kind == "control"),
        lacking=tuple((lacking or {}).items()),
    )  # fmt: skip


def _places(folders: Sequence[Path], part: Part, weights: str) -> list[Path]:
    places = []
    for source in folders:
        for made in source.glob(f"derived/{KIND}-*/{MADE}"):
            told = read_made(made.parent).get("from", {})
            if isinstance(told, dict) and told.get("part") == part and told.get("format") == FORMAT:
                if told.get("weights_sha256") == weights:
                    places.append(made.parent)
    return places


def _subjects(place: Path, part: str) -> dict[str, Quality]:
    found = {}
    for path in place.glob("*.json") if place.is_dir() else ():
        if path.name in (MADE, REFUSED) or path.name.startswith("."):
            continue
        quality = _subject(path)
        if quality is not None and getattr(quality, part) is not None:
            found[quality.name] = quality
    return found


def _subject(path: Path) -> Quality | None:
    """One subject's file; what was read before is read again only if the file is another. None if it is damaged."""
    try:
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        with _LOCK:
            held = _READ.get(path)
        if held is None or held[0] != stamp:
            try:
                made = _QUALITY.validate_python(json.loads(path.read_text(encoding="utf-8")))
            except ValueError:
                made = None
            held = (stamp, made)
            with _LOCK:
                if len(_READ) >= REMEMBERED:
                    _READ.clear()
                _READ[path] = held
        return held[1]
    except OSError:
        return None


def _write(path: Path, value: object) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)
