"""What may be asked of a search among explanations: its bounds, and the sources that it is about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from core.errors import BadInput, NotFound
from core.explain.meaning.ranking import Wanted
from core.explain.records import Origin, Rank
from core.records import SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench


def check(wanted: Wanted, most: int) -> None:
    """Raises `BadInput` for what is out of bounds; `most` are the hits of one page at most."""
    _among("rank", wanted.rank, get_args(Rank))
    for origin in wanted.origins:
        _among("origins", origin, get_args(Origin))
    for name, value in (("densest", wanted.densest), ("sparsest", wanted.sparsest)):
        if value is not None and not 0 <= value <= 1:
            raise BadInput(f"{name} is a fraction of all tokens, 0 to 1; {value:g} is not.")
    if wanted.trusted is not None and not math.isfinite(wanted.trusted):
        raise BadInput("trusted is the least score that an explanation may have, such as 0.7.")
    if not 1 <= wanted.top <= most or wanted.offset < 0:
        raise BadInput(f"top is 1 to {most}, and offset 0 or more.")


def _among(name: str, value: str, options: Sequence[str]) -> None:
    if value not in options:
        raise BadInput(f"“{str(value)[:60]}” is no value of {name}: {', '.join(options)} are.")


def scope(
    bench: Workbench, model_id: str | None, names: Sequence[SourceKey | str], set_name: str | None, release: str | None
) -> list[SourceKey]:
    """The sources that a search is about: of those named, or of all, the ones of a model, a set and a release.

    Raises:
        NotFound: there is no such model, release, source or set.
        BadInput: a source that is named is not of the model, set or release.
    """
    if model_id is not None:
        bench.model(model_id)
    if release is not None:
        bench.release(release)
    passing = [s.key for s in bench.sources(model_id=model_id, release=release)]
    if set_name is not None:
        its = [key for key in passing if set_name in (key.set_name, key.source_id.split("-", 1)[1])]
        if not its:
            there = ", ".join(sorted({key.set_name for key in passing})) or "none"
            raise NotFound(f"There is no source set “{set_name[:96]}” here. There is: {there}.")
        passing = its
    if not names:
        return passing
    keys = list(dict.fromkeys(_key(name, model_id) for name in names))
    for key in keys:
        bench.source(key)
        if key not in passing:
            raise BadInput(f"{key} is not of the model, set or release that is asked for as well.")
    return keys


def _key(name: SourceKey | str, model_id: str | None) -> SourceKey:
    if isinstance(name, SourceKey):
        return name
    return SourceKey.parse(name) if "/" in name or model_id is None else SourceKey(model_id, name)
