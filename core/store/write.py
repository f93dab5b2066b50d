"""A source is complete or not visible: it is written into a hidden folder beside its place and then renamed.

A folder that a killed run left behind is hidden from the catalog (its name begins with a dot) and is removed by the
next run that writes the same source. A source that was there before stays whole until the new one takes its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import NotAvailable


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A hidden folder to fill; on leaving without an error it becomes `target`, else it is removed."""
    beside, old = (target.with_name(f".{target.name}.{what}") for what in ("writing", "old"))
    try:
        if old.exists() and not target.exists():  # killed between the two renames of `_replace`
            os.rename(old, target)
        if beside.exists():
            shutil.rmtree(beside)
        beside.mkdir(parents=True)
    except OSError as error:
        raise NotAvailable(f"Cannot write under {target.parent}: {error.strerror}. Set FEATURESCOPE_DATA.") from error
    try:
        yield beside
        _replace(beside, target, old)
    except OSError as error:
        raise NotAvailable(f"{target.parent.name}/{target.name} was not written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _replace(beside: Path, target: Path, old: Path) -> None:
    """Renames; an older version steps aside first, and what was derived from it goes along."""
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        if (target / "derived").is_dir():
            for one in (target / "derived").iterdir():  # what the new version brings itself stays
                if one.is_dir() and not (beside / "derived" / one.name).exists():
                    shutil.copytree(one, beside / "derived" / one.name)
        os.rename(target, old)
    os.rename(beside, target)
    shutil.rmtree(old, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Makes `folder` if need be; raises `NotAvailable` if nothing can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise NotAvailable(f"Cannot write under {folder}: {error.strerror}. Set FEATURESCOPE_DATA.") from error


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of the source's own files, by relative path: not of the manifest, nor of what is derived."""
    result = {}
    paths = (
        p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).parts[0] not in ("source.json", "derived")
    )
    for path in sorted(paths):
        with path.open("rb") as file:
            result[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return result
