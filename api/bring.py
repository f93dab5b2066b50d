"""Adding sources: look at a place, try what is there, build or import it in the background, look after it. Ours.

The same jobs as the page's, so that one begun here is seen there. Who may is said by `core.bring.allowed`; every route
asks it, since a job shows paths of the server. Nothing here waits for work: a step is put into a queue.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from api.access import Bench, Json, Who
from api.bodies import Unicode
from core.bring.records import Place, Plan, Texts
from core.errors import BadInput
from core.interchange import jobs as shape

router = APIRouter(prefix="/bring", tags=["adding sources"])

JOB = "20261122-101500-0a1b2c3d"
"""The job of the examples; nobody has it."""


def _allowed(workbench: Bench, who: Who) -> str:
    """The name of who asks, who may; raises `NotSignedIn` and `NotAllowed` for anybody else."""
    name: str = workbench.bring.allowed.ask(who)
    return name


By = Annotated[str, Depends(_allowed)]


class At(BaseModel):
    """Where an SAE or transcoder is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"where": "folder", "path": "my-sae"}]})

    where: Annotated[Literal["registry", "hub", "folder"], Field(description="SAELens's registry, the hub, a folder")]
    release: Annotated[Unicode, Field(max_length=200, description="of the registry, with saeId")] = ""
    saeId: Annotated[Unicode, Field(max_length=200)] = ""
    hub: Annotated[Unicode, Field(max_length=200, description="a repository of the hub, org/name")] = ""
    folder: Annotated[Unicode, Field(max_length=300, description="inside the repository")] = ""
    revision: Annotated[Unicode, Field(max_length=100, description="of the repository; main")] = ""
    path: Annotated[Unicode, Field(max_length=1000, description="a folder of the server, below an allowed one")] = ""

    def place(self) -> Place:
        """As the workbench names it; raises `BadInput` for what belongs to another place."""
        needed = {"registry": ("release", "saeId"), "hub": ("hub",), "folder": ("path",)}[self.where]
        known = {*needed, *(("folder", "revision") if self.where == "hub" else ())}
        for name in ("release", "saeId", "hub", "folder", "revision", "path"):
            value = getattr(self, name)
            if bool(value) is False and name in needed:
                raise BadInput(f"where: {self.where} needs {' and '.join(needed)}.")
            if value and name not in known:
                raise BadInput(f"{name} does not belong to where: {self.where}, which has {', '.join(sorted(known))}.")
        return Place(
            where=self.where, release=self.release, sae_id=self.saeId, hub=self.hub, folder=self.folder,
            revision=self.revision, path=self.path,
        )  # fmt: skip


class OfTexts(BaseModel):
    """What it is built on."""

    what: Annotated[Literal["demo", "hub"], Field(description="the demo's texts, or a data set of the hub")] = "demo"
    hub: Annotated[Unicode, Field(max_length=200)] = ""
    name: Annotated[Unicode, Field(max_length=200, description="the data set's subset")] = ""
    split: Annotated[Unicode, Field(max_length=100)] = "train"
    column: Annotated[Unicode, Field(max_length=100)] = "text"


class OfPlan(BaseModel):
    """How it is to be built; what is left out is as the SAE says."""

    sourceId: Annotated[Unicode, Field(max_length=96)] = ""
    model: Annotated[Unicode, Field(max_length=300, description="a model here, org/name on the hub, or a folder")] = ""
    prompts: Annotated[int, Field(ge=1, le=1_000_000)] = 2400
    context: Annotated[int, Field(ge=0, le=8192, description="tokens of a prompt; 0: at most 128")] = 0
    hook: Annotated[Unicode, Field(max_length=200, description="where its files do not say")] = ""
    bos: Annotated[bool | None, Field(description="true: begin with BOS although it says otherwise")] = None
    store: Annotated[bool, Field(description="keep every activation")] = True
    texts: OfTexts = OfTexts()
    as_: Annotated[
        Unicode, Field(alias="as", max_length=192, description="of an export: its name here, a model or model/source")
    ] = ""
    only: Annotated[list[Unicode], Field(max_length=1000, description="of an export's sources; all without any")] = []
    leaveOut: Annotated[bool, Field(description="of an export: leave out and name lines that cannot be read")] = False

    def plan(self) -> Plan:
        """As the workbench names it."""
        return Plan(
            source_id=self.sourceId, model=self.model, prompts=self.prompts, context=self.context, hook=self.hook,
            bos=self.bos, store=self.store, texts=Texts(**self.texts.model_dump()), as_=self.as_,
            only=tuple(self.only), leave_out=self.leaveOut,
        )  # fmt: skip


class New(At):
    """Where it is, and how it is to be built."""

    plan: OfPlan = OfPlan()


class Which(BaseModel):
    """Which job."""

    id: Annotated[Unicode, Field(max_length=60, description="the job's id", examples=[JOB])]


class Planned(Which):
    """Another plan for a job."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": JOB, "plan": {"prompts": 600}}]})

    plan: OfPlan


@router.get("", summary="Every source on its way in", response_model=None)
def jobs(workbench: Bench, by: By) -> Json:
    """The newest first."""
    return Json({"jobs": [shape.record(job) for job in workbench.bring.jobs()]})


@router.post("/look", summary="What is at a place", response_model=None)
def look(workbench: Bench, by: By, body: At) -> Json:
    """Kind, model, hook, width and more, before any weights are read; nothing is kept."""
    return Json(shape.look(workbench.bring.look(body.place())))


@router.post("/new", summary="Begin to add what is at a place", response_model=None)
def new(workbench: Bench, by: By, body: New) -> Json:
    """What was found, as a job with a plan. Nothing is done yet: `check` and `build` do."""
    return Json(shape.record(workbench.bring.begin(body.place(), body.plan.plan(), by=by)))


@router.post("/get", summary="A job", response_model=None)
def get(workbench: Bench, by: By, body: Which) -> Json:
    """With how far it is, and `log`, the end of what its processes wrote."""
    job = workbench.bring.job(body.id)
    return Json(shape.record(job) | {"log": workbench.bring.log(body.id)})


@router.post("/plan", summary="Change a job's plan", response_model=None)
def plan(workbench: Bench, by: By, body: Planned) -> Json:
    """Of one that is not at work; its check is forgotten."""
    return Json(shape.record(workbench.bring.change(body.id, body.plan.plan())))


@router.post("/check", summary="Try it on a few prompts", response_model=None)
def check(workbench: Bench, by: By, body: Which) -> Json:
    """Does it reconstruct? L0, explained variance and CE loss score, beside what was published, under `tried`."""
    return Json(shape.record(workbench.bring.go(body.id, "check")))


@router.post("/build", summary="Build it", response_model=None)
def build(workbench: Bench, by: By, body: Which) -> Json:
    """In the background, after what is before it in the queue; then the source is in the catalog."""
    return Json(shape.record(workbench.bring.go(body.id, "build")))


@router.post("/import", summary="Import an export", response_model=None)
def import_(workbench: Bench, by: By, body: Which) -> Json:
    """In the background; every line is checked, and nothing appears before all is right. `imported` says what came."""
    return Json(shape.record(workbench.bring.go(body.id, "import")))


@router.post("/resume", summary="Go on with a job", response_model=None)
def resume(workbench: Bench, by: By, body: Which) -> Json:
    """That was paused, interrupted or failed: a build goes on from its last chunk."""
    return Json(shape.record(workbench.bring.resume(body.id)))


@router.post("/pause", summary="Pause a job", response_model=None)
def pause(workbench: Bench, by: By, body: Which) -> Json:
    """What is finished is kept."""
    return Json(shape.record(workbench.bring.pause(body.id)))


@router.post("/cancel", summary="Cancel a job", response_model=None)
def cancel(workbench: Bench, by: By, body: Which) -> Json:
    """What an unfinished build left is removed."""
    return Json(shape.record(workbench.bring.cancel(body.id)))


@router.post("/forget", summary="Remove a job from the list", response_model=None)
def forget(workbench: Bench, by: By, body: Which) -> Json:
    """That is not at work; a source that was built of it stays."""
    workbench.bring.forget(body.id)
    answer: dict[str, Any] = {"message": "Success"}
    return Json(answer)
