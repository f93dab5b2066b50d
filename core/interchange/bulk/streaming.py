"""An export as a .tar that is sent while it is written: a file at a time, and none stays behind.

The archive is not compressed, since what is in it is. Its times and owners are zeros, so that the same source gives the
same bytes. Cost: that of the export; memory of one block, disk of the files of one batch.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.interchange.bulk import neuronpedia_out, parquet
from core.interchange.bulk.places import BLOCK
from core.records import SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench


def stream(bench: Workbench, key: SourceKey, format: str, vectors: Any) -> Iterator[bytes]:
    """The blocks of the archive."""
    with tempfile.TemporaryDirectory(prefix="featurescope-") as name:
        top = Path(name)
        folder = top / ("" if format == "parquet" else "v1") / key.model_id / key.source_id
        folder.mkdir(parents=True)
        paths: Iterator[Path]
        if format == "neuronpedia":
            counts = neuronpedia_out.Counts()
            paths = neuronpedia_out.write(bench, key, folder, counts, vectors=vectors, tell=lambda done, of: None)
        elif format == "explanations":
            neuronpedia_out.write_explanations(bench, key, folder)
            paths = iter(sorted(path for path in folder.rglob("*") if path.is_file()))
        else:
            model = parquet.write_model_files(bench, key.model_id, folder.parent)
            paths = chain(model, parquet.write(bench, key, folder, lambda done, of: None))
        for path in paths:
            yield from _member(path, path.relative_to(top).as_posix())
            path.unlink()
    yield bytes(tarfile.BLOCKSIZE * 2)


def _member(path: Path, name: str) -> Iterator[bytes]:
    """One file of the archive: its header, its bytes, zeros up to a whole block."""
    info = tarfile.TarInfo(name)
    info.size = path.stat().st_size
    yield info.tobuf(tarfile.PAX_FORMAT)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
    yield bytes(-info.size % tarfile.BLOCKSIZE)
