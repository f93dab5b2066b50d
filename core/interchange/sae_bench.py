"""Reads SAEBench's result files, `…_eval_results.json` (github.com/adamkarvonen/SAEBench).

Such a file is the result of one evaluation of one SAE:

    eval_type_id            core, absorption_first_letter, sparse_probing, scr, tpp, autointerp, ravel, unlearning
    eval_result_metrics     {category: {metric: number or null}}: the means, which are what is kept
    eval_config             how it was measured, `model_name` among it
    sae_lens_release_id, sae_lens_id, sae_cfg_dict        which SAE
    datetime_epoch_millis, sae_bench_commit_hash, sae_lens_version, eval_id        when, and by what
    eval_result_details, eval_result_unstructured          a row a feature, letter or dataset: not kept

Known keys are checked, and one that does not fit refuses the file by its name. Unknown ones are reported and their
numbers kept, since every version of the program adds some; so are numbers that are none (NaN). Python's `json` is used
because the program writes NaN. Cost: a file of a 65,536-wide SAE, with its rows, is some 20 MB and read in a second.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.evaluate.foreign import Foreign

PROGRAM = "SAEBench"
LARGEST = 512 << 20
"""Bytes of a file."""
MOST = 2000
"""Figures of a file."""
LONG = 300
"""Characters of a name or a setting that are kept."""
SUFFIX = "_eval_results.json"
TYPES: dict[str, frozenset[str]] = {
    "core": frozenset({
        "model_behavior_preservation", "model_performance_preservation", "reconstruction_quality", "shrinkage",
        "sparsity", "token_stats", "misc_metrics",
    }),
    "absorption_first_letter": frozenset({"mean"}),
    "sparse_probing": frozenset({"llm", "sae"}),
    "scr": frozenset({"scr_metrics"}),
    "shift": frozenset({"shift_metrics"}),
    "tpp": frozenset({"tpp_metrics"}),
    "autointerp": frozenset({"autointerp"}),
    "ravel": frozenset({"ravel"}),
    "unlearning": frozenset({"unlearning"}),
    "mdl": frozenset({"mdl_eval_metrics"}),
}  # fmt: skip
"""Kinds of evaluations and the categories of their figures."""
KEYS = frozenset({
    "eval_type_id", "eval_config", "eval_id", "datetime_epoch_millis", "eval_result_metrics", "eval_result_details",
    "eval_result_unstructured", "sae_bench_commit_hash", "sae_lens_id", "sae_lens_release_id", "sae_lens_version",
    "sae_cfg_dict", "eval_artifacts",
})  # fmt: skip
SHARES = ("accuracy", "_fraction", "frac_alive")
"""What the names of figures end with that lie between 0 and 1."""


def files(place: Path) -> list[Path]:
    """The result files at a path: itself, or those below a folder. Raises `BadInput` where there are none."""
    if place.is_dir():
        found = sorted(p for p in place.rglob(f"*{SUFFIX}") if p.is_file())
        if not found:
            raise BadInput(f"{place} has no file that ends in {SUFFIX}.")
        return found
    if not place.is_file():
        raise BadInput(f"There is no file {place}.")
    return [place]


def read_file(path: Path) -> Foreign:
    """One result file; raises `BadInput` with the file and the key."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadInput(f"{path.name} is larger than {LARGEST >> 20} MB: a result file is much smaller.")
        body = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror}.") from error
    return read(body, path.name)


def read(body: bytes, name: str) -> Foreign:
    """The result that a file's bytes hold; raises `BadInput` with the file's name and the key."""
    if len(body) > LARGEST:
        raise BadInput(f"{name} is larger than {LARGEST >> 20} MB: a result file is much smaller.")
    return _File(_parsed(body, name), name).result(hashlib.sha256(body).hexdigest()[:16])


def _parsed(body: bytes, name: str) -> dict[str, Any]:
    try:
        data = json.loads(body.decode("utf-8-sig"), parse_int=_whole)
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 text: byte {error.start} is no part of a character.") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"{name} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise BadInput(f"{name} is not a result of {PROGRAM}: its JSON is nested too deep.") from error
    if not isinstance(data, dict):
        raise BadInput(f"{name} is not a result of {PROGRAM}: it should be one JSON object, and is {_called(data)}.")
    return data


def _whole(text: str) -> int | float:
    """Python refuses to read whole numbers of thousands of digits; as a float they are infinite."""
    return int(text) if len(text) < 40 else float(text)


class _File:
    """One file on its way to a record."""

    def __init__(self, data: dict[str, Any], name: str) -> None:
        self._data, self._name = data, name
        self._unknown = [key for key in data if key not in KEYS]

    def result(self, id: str) -> Foreign:
        metrics = self._section("eval_result_metrics", needed=True)
        kind = self._kind(metrics)
        figures = self._figures(kind, metrics)
        if not figures:
            raise self._wrong("eval_result_metrics", "has no number", "it should have at least one")
        config, sae = self._section("eval_config"), self._section("sae_cfg_dict")
        release, sae_id = self._text("sae_lens_release_id"), self._text("sae_lens_id")
        if not release and not sae_id:
            raise self._wrong("sae_lens_id", "is missing", "a result says of which SAE it is")
        said = (("SAEBench", "sae_bench_commit_hash"), ("SAELens", "sae_lens_version"))
        return Foreign(
            id=id, program=PROGRAM, eval_type=kind, release=release, sae_id=sae_id,
            model=self._plain(config, "eval_config", "model_name") or self._plain(sae, "sae_cfg_dict", "model_name"),
            hook=self._plain(sae, "sae_cfg_dict", "hook_name"), width=self._width(sae),
            architecture=self._plain(sae, "sae_cfg_dict", "architecture"), made=self._date(),
            version=", ".join(f"{program} {self._text(key)[:12]}" for program, key in said if self._text(key)),
            file=_cut(self._name), metrics=tuple(sorted(figures.items())),
            config=tuple(sorted((_cut(k), _cut(_said(v))) for k, v in config.items() if _is_plain(v))),
            unknown=tuple(_cut(key) for key in self._unknown[:100]),
        )  # fmt: skip

    # -- figures -------------------------------------------------------------------------------------------------------

    def _kind(self, metrics: dict[str, Any]) -> str:
        """What was measured; early files do not say, but their categories do."""
        kind = self._text("eval_type_id")
        if not kind:
            fits = [name for name, categories in TYPES.items() if categories & metrics.keys()]
            if len(fits) != 1:
                raise self._wrong("eval_type_id", "is missing", f"it should be one of {', '.join(TYPES)}")
            return fits[0]
        if kind not in TYPES:
            self._unknown.append(f"eval_type_id={kind}")
        return kind

    def _figures(self, kind: str, metrics: dict[str, Any]) -> dict[str, float]:
        found: dict[str, float] = {}
        for category, inside in metrics.items():
            at = f"eval_result_metrics.{category}"
            if kind in TYPES and category not in TYPES[kind]:
                self._unknown.append(at)
                if not isinstance(inside, dict):
                    continue
            if not isinstance(inside, dict):
                raise self._wrong(at, f"is {_called(inside)}", "it should be an object of figures")
            for metric, value in inside.items():
                number = self._number(value, f"{at}.{metric}", known=kind in TYPES and category in TYPES[kind])
                if number is not None:
                    found[_cut(f"{kind}/{category}/{metric}")] = number
        if len(found) > MOST:
            raise self._wrong("eval_result_metrics", f"has {len(found):,} figures", f"a file has at most {MOST:,}")
        return found

    def _number(self, value: Any, at: str, *, known: bool) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            if known:
                raise self._wrong(at, f"is {_called(value)}", "it should be a number or null")
            self._unknown.append(at)
            return None
        number = float(value)
        if not math.isfinite(number):
            self._unknown.append(f"{at}={number}")
            return None
        if at.endswith(SHARES) and not -1e-6 <= number <= 1 + 1e-6:
            raise self._wrong(at, f"is {number:g}", "it should lie between 0 and 1")
        if at.endswith((".l0", ".l1", ".mse")) and number < 0:
            raise self._wrong(at, f"is {number:g}", "it should be 0 or more")
        return number

    # -- what it is of -------------------------------------------------------------------------------------------------

    def _section(self, key: str, *, needed: bool = False) -> dict[str, Any]:
        value = self._data.get(key)
        if value is None and not needed:
            return {}
        if not isinstance(value, dict):
            what = "is missing" if key not in self._data else f"is {_called(value)}"
            raise self._wrong(key, what, "it should be a JSON object")
        return value

    def _text(self, key: str) -> str:
        value = self._data.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(key, f"is {_called(value)}", "it should be text")
        return _cut(value.strip())

    def _plain(self, section: dict[str, Any], name: str, key: str) -> str:
        value = section.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(f"{name}.{key}", f"is {_called(value)}", "it should be text")
        return _cut(value.strip())

    def _width(self, sae: dict[str, Any]) -> int | None:
        value = sae.get("d_sae")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 10**9:
            said = f"{value}" if isinstance(value, int) else _called(value)
            raise self._wrong("sae_cfg_dict.d_sae", f"is {said}", "it should be the number of features")
        return value

    def _date(self) -> str:
        """The day, in UTC; some versions wrote the milliseconds as text."""
        value = self._data.get("datetime_epoch_millis")
        if value is None:
            return ""
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 4_102_444_800_000:
            raise self._wrong(
                "datetime_epoch_millis", f"is {_cut(str(value))}" if isinstance(value, int) else f"is {_called(value)}",
                "it should be milliseconds since 1970",
            )  # fmt: skip
        return datetime.datetime.fromtimestamp(value / 1000, datetime.UTC).date().isoformat()

    def _wrong(self, key: str, what: str, should: str) -> BadInput:
        return BadInput(f"{self._name}: “{_cut(key)}” {what}; {should}.")


def _called(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for kind, said in ((dict, "an object"), (list, "a list"), (str, "text")):
        if isinstance(value, kind):
            return said
    return "a number"


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) or (
        isinstance(value, list) and len(value) < 50 and all(isinstance(one, str | int | float) for one in value)
    )


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cut(text: str) -> str:
    """As much of a text as is kept, without halves of surrogate pairs, which no file can be written with."""
    return text[:LONG].encode("utf-8", "replace").decode()
