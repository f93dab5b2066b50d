"""Whole sources in and out, the one door: `Workbench.exchange`. Each job is a module of its own, loaded when asked for.

Nothing here imports torch, but giving an imported source its weights, and decoder vectors of a source that has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from core.errors import BadInput, Conflict, NotAvailable
from core.interchange.bulk.records import Brought, Given
from core.records import FeatureKey, Records, SourceKey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.interchange.bulk.bring import Surveyed
    from core.interchange.bulk.join import Joined
    from core.workbench import Workbench

Format = Literal["neuronpedia", "explanations", "parquet", "delphi", "neuronrecord"]
Tell = Callable[[str, float, float], None]


class Exchange:
    """What comes in from elsewhere, and what goes out."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def bring_in(
        self, where: str | Path, *, as_: str = "", only: Sequence[str] = (), leave_out: bool = False,
        again: bool = False, tell: Tell | None = None,
    ) -> Records[Brought]:  # fmt: skip
        """Imports the sources at `where`: a folder, an archive or a URL; the same command goes on after a stop.

        `as_` is what it is called here, `<model>/<source>`, or a model's id alone; `only` chooses among several.
        Lines that cannot be read refuse a source, unless they are to be left out (`leave_out`). `again` imports over
        an earlier import of other files. Explanations without features are attached to their source, which must be
        here already.

        Raises:
            BadInput: there is nothing that can be imported.
            NotFound: the source that explanations alone are of is not here, or `only` names what is not there.
            Refused: something is wrong with it; nothing of it is here then.
            Conflict: there is another source of that name.
            NotAvailable: the data root cannot be written, or has no room.
            Busy: it is being imported already, or a server does not answer.
        """
        from core.interchange.bulk.bring import bring_in

        root, catalog = self._bench.settings.data, self._bench.catalog
        made = bring_in(
            catalog, root, str(where), as_=as_, only=only, leave_out=leave_out, again=again, known=self._said, tell=tell
        )
        return Records(made)

    def _said(self, key: SourceKey) -> set[str]:
        """The ids of what is said of a source here, as an export writes them."""
        from core.interchange.bulk.imported import PREFIX

        return {one.id.removeprefix(PREFIX) for one in self._bench.words.briefs_here(key)}

    def survey(self, where: str | Path) -> Surveyed | None:
        """What a place has to be imported, before any of it is read; None if nothing. Raises what `bring_in` does."""
        from core.interchange.bulk.bring import survey

        return survey(self._bench.settings.data, str(where))

    def join(
        self, config: Path, only: Sequence[SourceKey | str] = (), *, anyway: bool = False
    ) -> Records[Joined]:
        """Gives imported sources their weights, as a build configuration says; see `core.interchange.bulk.join`.

        `only` of its sources; `anyway`: also where values on the imported examples come out otherwise.

        Raises:
            BadConfig: the configuration cannot be read, or these are not the weights.
            NotFound: none of its sources was imported and lacks its weights.
            NotAvailable: the weights are not where it says.
        """
        from core.interchange.bulk.join import join, read

        keys = tuple(one if isinstance(one, SourceKey) else SourceKey.parse(one) for one in only)
        return Records(join(self._bench, read(Path(config)), keys, anyway=anyway))

    def give_out(
        self, key: SourceKey | str, folder: Path, *, format: Format = "neuronpedia", vectors: bool = False,
        people: bool = False, again: bool = False, tell: Tell | None = None,
    ) -> Given:  # fmt: skip
        """Writes a source under `folder`, whole or not at all.

        `vectors`: decoder rows go along, for which weights are loaded (those of an import do anyway); `people`: what
        people wrote does too; `again`: over what was exported there before.

        Raises:
            NotFound: there is no such source.
            BadInput: there is no such format.
            Conflict: it was exported there before.
            NotAvailable: it cannot be written, or has no weights for `vectors`.
        """
        from core.interchange.bulk import delphi, neuronpedia_out, parquet
        from core.store.write import staged

        if format not in get_args(Format):
            raise BadInput(f"format is one of {', '.join(get_args(Format))}; there is no “{format}”.")
        began = time.monotonic()
        name = self._bench.source(key).key
        target = folder / self._place(name, format)
        if target.exists() and not again:
            raise Conflict(f"{target} is there already. --again writes over it.")

        def told(done: float, of: float) -> None:
            if tell is not None:
                tell(f"writing {name}", done, of)

        rows = self._vectors(name, vectors) if format == "neuronpedia" else None
        with staged(target) as beside:
            if format == "neuronpedia":
                made = neuronpedia_out.Counts()
                for _ in neuronpedia_out.write(
                    self._bench, name, beside, made, people=people, vectors=rows, tell=told
                ):
                    pass
                counts = asdict(made)
            elif format == "explanations":
                counts = {"features": 0, "activations": 0}
                counts["explanations"] = neuronpedia_out.write_explanations(self._bench, name, beside, people=people)
            elif format == "parquet":
                for _ in parquet.write(self._bench, name, beside, told):
                    pass
                counts = parquet.counts(self._bench, name)
            elif format == "delphi":
                counts = delphi.write(self._bench, name, beside, told)
            else:
                counts = self._neuron_records(name, beside, told)
        if format == "parquet":
            parquet.write_model_files(self._bench, name.model_id, target.parent)
        files = [path for path in target.rglob("*") if path.is_file()]
        return Given(
            key=name, format=format, folder=target, files=len(files), bytes=sum(p.stat().st_size for p in files),
            lost=self._lost(name, format), seconds=time.monotonic() - began, **counts,
        )  # fmt: skip

    def stream(self, key: SourceKey | str, format: Format = "neuronpedia") -> Iterator[bytes]:
        """The same as a .tar, file by file as each is whole; `bring_in` reads it. The disk holds one file at a time.

        Raises what `give_out` does, before the first byte.
        """
        from core.interchange.bulk.streaming import stream

        if format not in ("neuronpedia", "explanations", "parquet"):
            raise BadInput("format is neuronpedia, explanations or parquet; the command line writes others too.")
        name = self._bench.source(key).key
        return stream(self._bench, name, format, self._vectors(name, False) if format == "neuronpedia" else None)

    def publish(
        self, keys: Sequence[SourceKey | str], folder: Path, *, title: str = "", licence: str = "", again: bool = False,
        tell: Tell | None = None,
    ) -> tuple[Given, ...]:  # fmt: skip
        """Writes sources as a dataset for the Hugging Face hub: our Parquet files, and a card that says what they are.

        Raises what `give_out` does.
        """
        from core.interchange.bulk.publish import publish

        made = tuple(self.give_out(key, folder, format="parquet", again=again, tell=tell) for key in keys)
        publish(self._bench, [one.key for one in made], folder, title=title, licence=licence)
        return made

    @staticmethod
    def _place(key: SourceKey, format: Format) -> Path:
        """Where a format wants a source, below the folder of an export."""
        if format == "neuronrecord":
            return Path(key.model_id) / str(key.layer)
        return Path("v1" if format in ("neuronpedia", "explanations") else "") / key.model_id / key.source_id

    def _neuron_records(self, key: SourceKey, folder: Path, tell: Callable[[float, float], None]) -> dict[str, int]:
        """A file a feature, as OpenAI's neuron explainer reads them."""
        import orjson

        from core.interchange.bulk.dashboards import record_of

        width, acts = self._bench.source(key).width, 0
        for index in range(width):
            record = self._bench.feature(FeatureKey(key.model_id, key.source_id, index))
            (folder / f"{index}.json").write_bytes(orjson.dumps(record_of(record), option=orjson.OPT_SERIALIZE_NUMPY))
            acts += sum(len(group.examples) for group in record.groups if group.kind != "diverse")
            tell(index + 1, width)
        return {"features": width, "activations": acts, "explanations": 0}

    def _vectors(self, key: SourceKey, asked: bool) -> NDArray[np.float32] | None:
        """Decoder rows that go along."""
        import numpy as np

        from core.interchange.bulk.assemble import VECTORS

        path = self._bench.catalog.entry(key).folder / VECTORS
        if path.is_file():
            found: NDArray[np.float32] = np.load(path, mmap_mode="r")
            return found
        if not asked:
            return None
        if "weights" not in self._bench.source(key).has:
            raise NotAvailable(f"{key} has no weights here, so it has no vectors to go along.")
        from core.atlas import vectors

        return vectors.decoder(self._bench, key)

    def _lost(self, key: SourceKey, format: Format) -> tuple[str, ...]:
        """What of a source this format has no place for."""
        entry = self._bench.catalog.entry(key)
        lost: list[str] = []
        if format == "parquet":
            return ()
        if format == "explanations":
            return ("everything but explanations and their scores",)
        if format == "delphi":
            return ("everything but the activation store, whose values are float16 there",)
        if format == "neuronrecord":
            lost.append("logit tables, related features, histograms, explanations")
        if "store" in entry.record.has:
            lost.append("the activation store (--format parquet keeps it)")
        if not entry.imported:
            lost.append("BOS, near-identical contexts that were folded, and examples without activity")
        return tuple(lost)
