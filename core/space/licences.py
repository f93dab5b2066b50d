"""Under which licence each part of a Space stands, as far as files say so. It is looked for, never assumed.

A folder of weights or texts says it in a LICENSE or LICENCES file or in the front matter of its README.md; what the
built-in demo has without a word of its own stands under the repository's. Costs reading a few small files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from core.settings import HERE

UNKNOWN = "not stated"
_FILE = re.compile(r"(?:licen[cs]es?|copying)(?:\.(?:md|txt|rst))?", re.IGNORECASE)
_NAMES = {
    "MIT License": "MIT", "Apache License": "Apache-2.0", "GNU GENERAL PUBLIC LICENSE": "GPL",
    "Creative Commons Attribution 4.0": "CC-BY-4.0", "CC0 1.0": "CC0-1.0", "BSD 3-Clause": "BSD-3-Clause",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Licence:
    """One part of a Space and its licence."""

    part: str
    name: str
    """As a person would write it; `UNKNOWN` if nothing says it."""
    file: Path | None = None
    """The file that says it, to be copied beside."""
    link: str = ""
    """Where it can be read up, if not in a file."""


def of_folder(part: str, folder: Path) -> Licence:
    """What the files of a folder say of its licence."""
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.is_file() and _FILE.fullmatch(path.name):
            return Licence(part, _name(path), path)
    if front := _front_matter(folder / "README.md"):
        return Licence(part, front)
    if folder.resolve().is_relative_to(HERE / "demo") and (HERE / "LICENSE").is_file():
        return Licence(part, _name(HERE / "LICENSE"), HERE / "LICENSE")
    return Licence(part, UNKNOWN)


def of_hub(part: str, repository: str, kind: str = "") -> Licence:
    """What is of the hub says its licence there; `kind` is `datasets/` for a dataset."""
    link = f"https://huggingface.co/{kind}{repository}"
    return Licence(part, "as its page on the hub says", link=link)


def _name(path: Path) -> str:
    """The licence of a file that holds one; or that there are several in it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.stem.lower().endswith("es"):
        return "several"
    return next((name for words, name in _NAMES.items() if words.lower() in text[:600].lower()), "see the file")


def _front_matter(path: Path) -> str:
    """`license` of a model card; empty if there is none."""
    if not path.is_file():
        return ""
    head = re.match(r"---\n(.*?)\n---", path.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    found = re.search(r"^license:\s*([\w.+-]+)\s*$", head[1], re.MULTILINE) if head else None
    return found[1] if found else ""
