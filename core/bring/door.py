"""Adding sources, the one door: `Workbench.bring`. A job is a folder on disk (`core.bring.shelf`), done by a process.

Who may is asked first by every job that changes anything or looks at this server's files (`allowed`). Nothing here
imports torch but a look at the registry; checks and builds run in processes of their own (`core.bring.worker`).
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.bring import plan as planning
from core.bring import registry, worker
from core.bring.allowed import Allowed
from core.bring.records import AT_WORK, JobRecord, Look, Place, Plan, Step, Tried
from core.bring.shelf import Folder, Shelf
from core.errors import BadInput, Conflict, NotAvailable, WorkbenchError
from core.records import Records, SourceKey
from core.store.write import check_writable

if TYPE_CHECKING:
    from core.bring.models import Models
    from core.bring.staging import Staging
    from core.bring.uploads import Uploads
    from core.community.people import People
    from core.workbench import Workbench

LOG = 12_000
"""Bytes of the end of a log that are shown."""


class Bring:
    """Sources on their way in."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.root = bench.settings.data
        self.shelf = Shelf(self.root)
        self.allowed = Allowed(bench.settings)

    @cached_property
    def uploads(self) -> Uploads:
        """What people uploaded."""
        from core.bring.uploads import Uploads

        return Uploads(self.root)

    @cached_property
    def models(self) -> Models:
        """Models by name."""
        from core.bring.models import Models

        return Models(self._bench.catalog, self.allowed.folder)

    @cached_property
    def staging(self) -> Staging:
        """What programs upload, a batch of features at a time."""
        from core.bring.staging import Staging

        bench = self._bench

        def layers(model_id: str) -> int | None:
            return next((model.layers for model in bench.models() if model.model_id == model_id), None)

        def built(key: SourceKey) -> bool:
            return any(source.key == key and not bench.catalog.entry(key).imported for source in bench.sources())

        return Staging(
            self.root, lambda folder: bench.exchange.bring_in(folder, again=True), layers=layers, built=built
        )

    # -- looking -------------------------------------------------------------------------------------------------------

    def releases(self) -> dict[str, str]:
        """The releases of SAELens's registry, with the model of each."""
        return {name: str(one.get("model", "")) for name, one in sorted(registry.releases().items())}

    def saes(self, release: str) -> Sequence[str]:
        """The ids of a release's SAEs; raises `NotFound`."""
        registry.release(release)
        return list(registry.saes(release))

    def look(self, place: Place) -> Look:
        """What is at a place; see `core.bring.look`. Raises what that does, and `NotAllowed` for a path elsewhere."""
        from core.bring.look import look

        folder = self._folder(place)
        if place.where == "upload" and folder is not None:
            place = replace(place, folder=folder.name)
        found = look(place, folder, self.models.find, self._bench.exchange.survey)
        if found.export is not None:
            return found
        return replace(found, notes=(*found.notes, *self._short(found)))

    def _short(self, found: Look) -> list[str]:
        """What this machine may be too small for."""
        model = found.model.bytes or 0 if found.model else 0
        there = found.model is None or found.model.here
        fetched = (0 if found.here else found.bytes or 0) + (0 if there else model)
        free = shutil.disk_usage(self.root if self.root.is_dir() else Path.home()).free
        notes = []
        if fetched > free:
            notes.append(f"It takes {_gib(fetched)} to download, and the disk has {_gib(free)} free.")
        if model + (found.bytes or 0) > self._bench.settings.memory():
            notes.append(
                f"Its model and weights take {_gib(model + (found.bytes or 0))}, and models may take "
                f"{_gib(self._bench.settings.memory())} of memory here (FEATURESCOPE_MEMORY_MB)."
            )
        return notes

    def _folder(self, place: Place) -> Path | None:
        if place.where == "upload":
            return self.uploads.export(place.path) or self.uploads.folder(place.path)
        return self.allowed.folder(place.path) if place.where == "folder" else None

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def jobs(self) -> Records[JobRecord]:
        """Every job, the newest first."""
        return Records(self.shelf.records())

    def job(self, id: str) -> JobRecord:
        """One job; raises `NotFound`."""
        return self.shelf.record(id)

    def log(self, id: str) -> str:
        """The end of what its processes wrote."""
        try:
            with self.shelf.get(id).log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - LOG))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def begin(self, place: Place, plan: Plan | None = None, *, by: str = "") -> JobRecord:
        """Looks at a place and keeps what was found as a job, with a plan of its build.

        Raises what `look` does; what is missing for a build (a model, a hook) is asked for by `change`.
        """
        check_writable(self.root)
        look = self.look(place)
        folder = self.shelf.new()
        wanted = plan or Plan()
        if wanted.texts.what == "demo" and not planning.demo_texts():
            wanted = replace(wanted, texts=replace(wanted.texts, what="upload"))
        self._plan(folder, look, wanted, by)
        return self.job(folder.id)

    def change(self, id: str, plan: Plan) -> JobRecord:
        """Another plan for a job that is not at work.

        Raises:
            Conflict: it is at work, or done.
            BadInput: something of the plan cannot be; nothing is changed then.
        """
        folder = self._idle(id, "changed")
        job = folder.record()
        plan, config = self._config(folder, job.look, plan)
        if not config:
            raise BadInput("Say what it is called here, as model/source: its files do not say of which model it is.")
        folder.keep(job.look, plan, job.by, config, job.made)
        folder.outdate()
        return self.job(id)

    def _plan(self, folder: Folder, look: Look, plan: Plan, by: str) -> None:
        try:
            plan, config = self._config(folder, look, plan)
        except WorkbenchError:  # something is missing, which the page asks for
            config = ""
        folder.keep(look, plan, by, config)

    def _config(self, folder: Folder, look: Look, plan: Plan) -> tuple[Plan, str]:
        if look.export is not None:
            plan, arguments = planning.imported(plan, look.export, self._folder(look.place))
            folder.ask(arguments)
            return plan, shlex.join(["python", "-m", "core", "import", *arguments]) if arguments else ""
        model = planning.model_of(plan, look, self.models.find)
        taken = [s.key.source_id for s in self._bench.sources(model_id=model.id)]
        plan = planning.complete(plan, look, taken)
        config = planning.written(plan, look, model, self._folder(look.place), self.uploads.text)
        planning.check(config, folder.path)
        return plan, config

    def go(self, id: str, step: Step) -> JobRecord:
        """Puts a step of a job into the queue: its check, or its build; at once if nothing is before it.

        Raises:
            Conflict: it is at work, or done.
            BadInput: it is an export and is not to be imported, or the other way round.
            NotAvailable: its plan is not complete.
        """
        folder = self._idle(id, "begun")
        exported = folder.record().look.export is not None
        if exported != (step == "import"):
            raise BadInput("This is an export: import it." if exported else "This is no export: try or build it.")
        if not folder.record().config:
            raise NotAvailable("Complete the plan first: its model, its hook or its texts are missing.")
        folder.want(step)
        worker.begin(self.root)
        return self.job(id)

    def resume(self, id: str) -> JobRecord:
        """Goes on with a step that was paused or interrupted, or failed."""
        job = self.job(id)
        return self.go(id, job.step or ("check" if job.look.export is None else "import"))

    def pause(self, id: str) -> JobRecord:
        """Ends what is at work so that it can go on later; what is finished is kept."""
        return self._stop(id, "pause")

    def cancel(self, id: str) -> JobRecord:
        """Ends it for good; what an unfinished build left is removed."""
        return self._stop(id, "cancel")

    def _stop(self, id: str, how: str) -> JobRecord:
        folder, job = self.shelf.get(id), self.job(id)
        if job.state == "done" or (how == "pause" and job.state not in AT_WORK):
            raise Conflict(f"The job is {job.state}: there is nothing to {how}.")
        folder.stop(how)
        if how == "cancel" and not folder.alive:
            worker.clean(folder, self.root)
        return self.job(id)

    def forget(self, id: str) -> None:
        """Removes a job that is not at work from the list; a source that was built of it stays."""
        folder = self.shelf.get(id)
        if self.job(id).state in AT_WORK or folder.alive:
            raise Conflict("The job is at work: cancel it first.")
        if self.job(id).state != "done":
            worker.clean(folder, self.root)
        self.shelf.forget(folder)

    def _idle(self, id: str, what: str) -> Folder:
        folder, job = self.shelf.get(id), self.job(id)
        if job.state in AT_WORK:
            raise Conflict(f"The job is at work, so it cannot be {what}: pause or cancel it first.")
        if job.state == "done":
            raise Conflict(f"The job is done, so it cannot be {what}: begin another one.")
        return folder

    def trial(
        self, config: Path, progress: Callable[[str, float, float], None] | None = None
    ) -> tuple[Tried, ...]:
        """What a configuration's sources do on a few prompts; see `core.bring.trying`. Raises `BadConfig`."""
        from core.bring.trying import trial
        from core.build.config import read_config

        return trial(read_config(config), device=self._bench.settings.device, progress=progress)

    def may(self, people: People) -> str:
        """Why somebody may not add sources here; empty if they may."""
        return self.allowed.why_not(people)


def _gib(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"
