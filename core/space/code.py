"""Which files of this repository a Space needs, and which of the pinned packages they import.

Read from the source text, so that an import inside a function counts too and nothing is imported to find out. Costs
parsing some hundred files, each once in a process while it stays as it is.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path

from core.errors import NotAvailable

READ = {
    "embeds/server.py": (
        "embeds/embed.css", "embeds/embed.js", "components/look/look.css", "components/token_strip/strip.css",
    ),
}  # fmt: skip
"""Files that are no modules, by the module that reads them."""
FOLDERS = ("api", "components", "configs", "core", "embeds", "pages")
"""Of the whole workbench, besides `app.py` and what stands beside it."""
KINDS = frozenset({".py", ".css", ".js", ".svg", ".yaml", ".md", ".toml"})


def closure(entry: str, root: Path) -> dict[str, Path]:
    """The module `entry` (a path from the root) and all that it leads to, by their paths from the root.

    Raises:
        NotAvailable: a file of it is missing: this is no whole checkout.
    """
    found: dict[str, Path] = {}
    ahead = [entry]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        path = root / name
        if not path.is_file():
            raise NotAvailable(f"{name} is missing here: a Space is written from a whole checkout of Featurescope.")
        found[name] = path
        ahead += READ.get(name, ())
        if path.suffix == ".py":
            ahead += [own for module in imports(path) for own in _files(module, root)]
    return dict(sorted(found.items()))


def whole(root: Path) -> dict[str, Path]:
    """The files of the whole workbench, by their paths from the root."""
    names = ["app.py", ".streamlit/config.toml"]
    for folder in FOLDERS:
        names += [
            path.relative_to(root).as_posix()
            for path in (root / folder).rglob("*")
            if path.is_file() and path.suffix in KINDS and "__pycache__" not in path.parts
        ]
    return {name: root / name for name in sorted(names)}


def imports(path: Path) -> frozenset[str]:
    """Every name that a module imports, in full and as deep as it says."""
    looks = path.stat()
    return _imports(path, looks.st_mtime_ns, looks.st_size)


@lru_cache(maxsize=4096)
def _imports(path: Path, changed: int, size: int) -> frozenset[str]:
    """Of the file as it was then."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _files(module: str, root: Path) -> Iterator[str]:
    """The files of this repository that importing a module runs; none for what is not of it."""
    parts = module.split(".")
    if not (root / parts[0] / "__init__.py").is_file():
        return
    for n in range(1, len(parts) + 1):
        place = "/".join(parts[:n])
        if (root / place / "__init__.py").is_file():
            yield f"{place}/__init__.py"
        elif (root / f"{place}.py").is_file():
            yield f"{place}.py"


def pins(files: dict[str, Path], requirements: Path) -> list[str]:
    """The lines of a requirements file for what these files import themselves; pip finds what those need."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    pinned = {_plain(line.split("==")[0]): line.strip() for line in lines if "==" in line and not line.startswith("#")}
    named = packages_distributions()
    wanted = set()
    for path in files.values():
        if path.suffix == ".py":
            for top in {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names):
                wanted |= {_plain(name) for name in [top, *named.get(top, ())]}
    return sorted((pinned[name] for name in wanted if name in pinned), key=str.lower)


def _plain(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).strip().lower()
