"""Who may add sources by page or API, and from which folders of the server.

Alone: the one person of a workbench that only its own machine reaches. With people who sign in, or where other machines
reach it: whom FEATURESCOPE_ADMINISTRATORS names, by their ids, which nobody can take from them as they could a name;
`*` names everybody. Adding reads files of the server, fetches gigabytes and works for hours, so that nobody gets it by
chance.

A folder is taken only from below the data root's `incoming/` and what FEATURESCOPE_INCOMING names, links followed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput, NotAllowed, NotFound, NotSignedIn
from core.settings import Settings

if TYPE_CHECKING:
    from core.community.people import People

INCOMING = "incoming"
SHOWN = 200
"""Folders that are offered."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""Of exports, which may lie in an allowed folder as they came."""
DEEP = 3
"""Levels below an allowed root that are looked through for them."""


class Allowed:
    """What the settings allow."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    # -- who -----------------------------------------------------------------------------------------------------------

    def why_not(self, people: People) -> str:
        """Why somebody may not; empty if they may. May raise what keeps people's things does."""
        named = self._settings.administrator_ids()
        if "*" in named:
            return ""
        kind = people.community.kind
        if kind == "local" and loopback(self._settings.host):
            return ""
        if kind != "hosted":
            return (
                "Other machines reach this server and nobody signs in to it, so nobody adds sources by page. Whoever "
                "runs it may allow everybody with FEATURESCOPE_ADMINISTRATORS=*, or use `python -m core build`."
            )
        me = people.me
        if me is None:
            return "Only this server’s administrators add sources: sign in first, if you are one."
        if me.id in named:
            return ""
        return (
            "Only this server’s administrators add sources. Whoever runs it makes you one with "
            f"FEATURESCOPE_ADMINISTRATORS={me.id}."
        )

    def ask(self, people: People) -> str:
        """Who it is, by name; raises `NotSignedIn` and `NotAllowed` where they may not."""
        why = self.why_not(people)
        if why:
            raise (NotSignedIn if people.community.kind == "hosted" and people.me is None else NotAllowed)(why)
        return people.me.name if people.me else ""

    # -- from where ----------------------------------------------------------------------------------------------------

    def roots(self) -> list[Path]:
        """The folders below which one may choose."""
        named = [Path(part).expanduser() for part in self._settings.incoming.split(os.pathsep) if part.strip()]
        return [(self._settings.data / INCOMING).resolve(), *(path.resolve() for path in named)]

    def folder(self, name: str) -> Path:
        """A folder of the server, or an archive, by its path, or by its path below an allowed one.

        Raises:
            BadInput: it names nothing.
            NotAllowed: it is not below an allowed folder; whether it is there is not said.
            NotFound: it is allowed, and not there.
        """
        name = name.strip()
        if not name or "\0" in name:
            raise BadInput("Name a folder.")
        roots = self.roots()
        given = Path(name).expanduser()
        tried = [given] if given.is_absolute() else [root / given for root in roots]
        inside = [path for one in tried if any((path := _real(one)).is_relative_to(root) for root in roots)]
        if not inside:
            below = " and ".join(map(str, roots))
            raise NotAllowed(f"Folders are taken from below {below}; FEATURESCOPE_INCOMING names others.")
        found = next((path for path in inside if _is_there(path)), None)
        if found is None:
            raise NotFound(f"There is no folder {name[:200]} below {' or '.join(map(str, roots))}.")
        return found

    def folders(self) -> Sequence[str]:
        """Folders that look like an SAE's or an export's, and archives, as one may name them."""
        from core.sources.folders import format_of

        found: list[str] = []
        for root in self.roots():
            waiting = [(root, 0)]
            while waiting and len(found) < SHOWN:
                folder, depth = waiting.pop(0)
                try:
                    every = sorted(p for p in folder.iterdir() if not p.is_symlink() and not p.name.startswith("."))
                    inside = [p for p in every if p.is_dir()]
                except OSError:
                    continue
                found += [str(p) for p in every if _is_archive(p)]
                if depth and _is_export(folder):
                    found.append(str(folder))
                    continue
                if depth and format_of(folder) is not None:
                    found.append(str(folder))
                if depth < DEEP:
                    waiting += [(path, depth + 1) for path in inside]
        return found


def _is_there(path: Path) -> bool:
    try:
        return path.is_dir() or _is_archive(path)
    except OSError:  # a name that no file can have
        return False


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES) and path.is_file()


def _is_export(folder: Path) -> bool:
    """Whether a folder is an export's, of one source or of several."""
    return any(
        next(folder.glob(f"{above}{one}"), None)
        for one in ("features/batch-*.jsonl*", "explanations/batch-*.jsonl*", "features.parquet")
        for above in ("", "*/", "*/*/", "v1/*/*/")
    )


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise BadInput(f"{path} is no path.") from error


def loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


