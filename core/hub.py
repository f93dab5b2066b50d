"""The Hugging Face hub's refusals in words, and revisions as the commits that they are.

The clients raise many kinds of error; each is told in one sentence that says what to do: which name is wrong, that a
repository is gated and where to ask for it, which variable holds the token, that the hub cannot be reached. Nothing
here downloads weights; `huggingface_hub` goes on with a file that was cut off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import BadConfig, Busy, NotAvailable, WorkbenchError

COMMIT = re.compile(r"[0-9a-f]{40}")
TOKEN = "HF_TOKEN"
"""The environment variable that the clients read a token from."""


def endpoint() -> str:
    """Where the hub is."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


@contextmanager
def said(repository: str, revision: str | None = None, what: str = "") -> Iterator[None]:
    """What the hub's clients raise inside, as ours; `what` begins the sentence.

    Raises:
        BadConfig: there is no such repository, revision or file.
        NotAvailable: it is gated or private, and this server's token does not open it, or there is none.
        Busy: the hub cannot be reached, or is in trouble.
    """
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        found = translated(error, repository, revision)
        if found is None:
            raise
        sentence = f"{what}{found}." if what else f"{str(found)[:1].upper()}{str(found)[1:]}."
        raise type(found)(sentence) from error


def translated(error: BaseException, repository: str, revision: str | None = None) -> WorkbenchError | None:
    """The same of one error, or of what it was raised from; None for one that is not the hub's."""
    from huggingface_hub import errors

    for n, one in enumerate(_chain(error)):
        if n and isinstance(one, errors.EntryNotFoundError):  # the libraries look for files that need not be there
            continue
        found = _one(one, repository, revision)
        if found is not None:
            return found
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _one(error: BaseException, repository: str, revision: str | None) -> WorkbenchError | None:
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return NotAvailable(gated(repository))
    if isinstance(error, errors.RevisionNotFoundError):
        return BadConfig(f"the hub has no {repository}@{revision or 'main'}")
    if isinstance(error, errors.RepositoryNotFoundError):  # 401 is what the hub says of what it does not show
        return BadConfig(f"the hub has no {repository}, or it is private and {_token()}")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return BadConfig(f"{repository} has no such file")
    if status in (401, 403):
        return NotAvailable(gated(repository))
    if isinstance(error, errors.HFValidationError):
        return BadConfig(f"“{repository[:96]}” is no repository of the hub: they are called org/name")
    if _cut(error) or (status or 0) >= 500:
        return Busy(f"{repository} cannot be fetched: {endpoint()} does not answer; try again, it goes on from there")
    return None


def _cut(error: BaseException) -> bool:
    """Whether a connection was not made, or broke. By name: which HTTP library the hub's client has is its affair."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"TransportError", "OfflineModeIsEnabled", "ConnectionError", "TimeoutError"})


def gated(repository: str) -> str:
    """What to do about a repository that is not given to everybody."""
    return (
        f"{repository} is gated: ask for access at {endpoint()}/{repository}, and start this server with a token of "
        f"yours in {TOKEN} ({_token()})"
    )


def _token() -> str:
    return f"the token in {TOKEN} does not open it" if os.environ.get(TOKEN) else f"there is no token in {TOKEN}"


def fetched(repository: str, name: str, revision: str | None = None) -> str | None:
    """The commit of which a file lies in the cache, as the revision stood when it was fetched; None if it does not."""
    from huggingface_hub import try_to_load_from_cache

    try:
        path = try_to_load_from_cache(repository, name, revision=revision)
    except (OSError, ValueError):  # no repository's name
        return None
    return commit_of(Path(path)) if isinstance(path, str) else None


def commit_of(path: Path) -> str | None:
    """The commit of which something in the cache is; None for what does not lie there."""
    parts = path.parts
    found = parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else ""
    return found if COMMIT.fullmatch(found) else None


def newest(repository: str, revision: str = "main") -> str | None:
    """The commit that a revision was when something of it was last fetched; None if nothing was."""
    if COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    path = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "refs" / revision
    try:
        found = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return found if COMMIT.fullmatch(found) else None


def size(siblings: Any, keep: Any = None) -> int | None:
    """Bytes of the files of a listing, of those for which `keep` holds; None where their sizes are not said."""
    every = [getattr(one, "size", None) for one in siblings if keep is None or keep(one)]
    known = [n for n in every if isinstance(n, int)]
    return sum(known) if known and len(known) == len(every) else None
