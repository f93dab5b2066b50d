"""How good sources are, the one door: `Workbench.quality`. What is kept is read without torch; measuring imports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.catalog.catalog import Entry
from core.errors import NotAvailable, NotFound
from core.evaluate import foreign, keeping, leaderboard
from core.evaluate.foreign import Foreign, ForeignShelf
from core.evaluate.records import PARTS, Control, Evaluation, LeaderboardRow
from core.records import Records, SourceKey

if TYPE_CHECKING:
    from core.workbench import Progress, Workbench


class Quality:
    """What was measured of sources, and measuring it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def of(self, key: SourceKey | str) -> Evaluation:
        """What is kept of a source's quality: of each part what was measured last, with baselines and controls.

        Raises:
            NotFound: there is no such source, or nobody measured it.
        """
        entry = self._entry(key)
        found = self._kept(entry)
        if found is None:
            raise NotFound(
                f"Nobody has measured the quality of {entry.record.key} here: "
                f"`python -m core eval {entry.record.key} --suite all`."
            )
        return found

    def leaderboard(self, model_id: str | None = None) -> Records[LeaderboardRow]:
        """Every source with its newest figures, a row each; what nobody measured has none."""
        sources = self._bench.sources(model_id=model_id)
        return Records(leaderboard.rows(sources, lambda source: self._kept(self._entry(source.key))))

    # -- what others measured ------------------------------------------------------------------------------------------

    def elsewhere(self, model_id: str | None = None) -> Records[LeaderboardRow]:
        """A row for every SAE of which another program's results were brought in; never mixed with ours."""
        specs = {one.key: self._bench.catalog.entry(one.key).manifest.weights for one in self._bench.sources()}
        origins = {key: (str(spec.release), str(spec.sae_id)) for key, spec in specs.items() if spec.release}
        found = foreign.rows(self._foreign.all(), origins)
        return Records(row for row in found if model_id in (None, row.model_id, row.of.model_id if row.of else None))

    def brought_in(self) -> Records[Foreign]:
        """Every result of another program that is kept here, a record a file."""
        return Records(self._foreign.all())

    def bring_in(self, place: Path, *, of: SourceKey | str | None = None) -> Records[Foreign]:
        """Reads SAEBench's result files, one or all below a folder, and keeps them beside our own figures.

        `of` names the source here that they are about, where SAELens's release and id do not say it. None is kept if
        one cannot be read.

        Raises:
            BadInput: a file is no result of SAEBench; says which, and which key.
            NotFound: there is no such source.
            NotAvailable: the data root cannot be written.
        """
        from core.interchange import sae_bench
        from core.store.write import check_writable

        said = None if of is None else self._entry(of).record.key
        read = [replace(sae_bench.read_file(path), said=said) for path in sae_bench.files(Path(place))]
        check_writable(self._bench.settings.data)
        for one in read:
            self._foreign.keep(one)
        return Records(read)

    def forget(self, id: str) -> None:
        """Removes a result that was brought in; raises `NotFound`."""
        self._foreign.forget(id)

    @cached_property
    def _foreign(self) -> ForeignShelf:
        return ForeignShelf(self._bench.settings.data)

    # -- measuring -----------------------------------------------------------------------------------------------------

    def measure(
        self, key: SourceKey | str, *, parts: Sequence[str] = PARTS, baselines: bool = True,
        controls: Sequence[Control] = (), texts: Path | None = None, tokens: int | None = None, again: bool = False,
        progress: Progress | None = None,
    ) -> Evaluation:  # fmt: skip
        """Measures parts of a source's quality, of its baselines and controls; what is kept is not measured again.

        On the build's prompts, or on the texts of a file or folder, `tokens` of them at most. What cannot be measured
        is under `lacking` with the reason. Everything is kept beside the source in the writable root as soon as it is
        measured, so that an interrupted run goes on from there.

        Raises:
            NotFound: there is no such source, or no such texts.
            NotAvailable: the weights are gone, or the source was imported with the texts of its examples alone.
            BadInput: no such part, or nothing to measure on.
        """
        from core.evaluate.suite import Asked, Suite

        entry, bench = self._entry(key), self._bench
        name = entry.record.key
        if entry.imported and texts is None:
            raise NotAvailable(f"{name} was imported with the texts of its examples alone. Name some with --texts.")
        asked = Asked(parts, baselines, controls, texts, tokens, again)
        slot = bench._model_slot(name.model_id)
        with slot.held() as model:
            source = bench._source_slot(entry.manifest.record).get().source
            found = Suite(bench, entry, model, source, asked, progress=progress, turn=slot.lock).run()
        bench.catalog.refresh()
        return found

    def _entry(self, key: SourceKey | str) -> Entry:
        return self._bench.catalog.entry(key if isinstance(key, SourceKey) else SourceKey.parse(key))

    def _kept(self, entry: Entry) -> Evaluation | None:
        name = entry.record.key
        folders = [root / name.model_id / name.source_id for root in self._bench.catalog.roots]
        return keeping.latest(folders, name, str(entry.manifest.build.get("weights_sha256")))
