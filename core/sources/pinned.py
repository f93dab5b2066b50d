"""SAELens's releases at one commit of their repository.

SAELens has no revision for a release: each of its loaders takes what is newest, by two functions that one of its
modules has from `huggingface_hub`. While a release is loaded here these are asked for its commit, in the thread that
loads it; everybody else's calls are as they were.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

FETCHING = ("hf_hub_download", "hf_hub_url")
_AT: ContextVar[tuple[str, str] | None] = ContextVar("pinned", default=None)
"""(repository, commit or revision) of what is being loaded."""


@contextmanager
def at(repository: str, revision: str | None) -> Iterator[None]:
    """What SAELens fetches of a repository in this block is of that revision; of the newest without one."""
    if revision is None:
        yield
        return
    _install()
    token = _AT.set((repository, revision))
    try:
        yield
    finally:
        _AT.reset(token)


def _install() -> None:
    from sae_lens.loading import pretrained_sae_loaders as loaders

    for name in FETCHING:
        fetch = getattr(loaders, name)
        if not hasattr(fetch, "pinned"):
            setattr(loaders, name, _asked(fetch))


def _asked(fetch: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fetch)
    def pinned(repo_id: str, *given: Any, **more: Any) -> Any:
        held = _AT.get()
        if held is not None and held[0] == repo_id and not more.get("revision"):
            more["revision"] = held[1]
        return fetch(repo_id, *given, **more)

    pinned.pinned = True  # type: ignore[attr-defined]
    return pinned
