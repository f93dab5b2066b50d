"""What adding a source gives back: frozen records, the same for pages and API. Nothing here reads a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.records import Shown

Where = Literal["registry", "hub", "folder", "upload"]
"""From where a source comes: SAELens's registry, a hub repository, a folder of the server, an upload."""
Step = Literal["check", "build", "import"]
State = Literal[
    "found", "waiting", "checking", "building", "importing", "pausing", "paused", "cancelling", "cancelled",
    "interrupted", "failed", "checked", "done",
]  # fmt: skip
"""Of a job; `interrupted`: its process is gone without a word, and it can go on."""
AT_WORK: frozenset[State] = frozenset(
    {"waiting", "checking", "building", "importing", "pausing", "cancelling"}
)
Verdict = Literal["good", "doubtful", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Shown):
    """Where an SAE, a transcoder or an export is; what belongs to `where` is set."""

    where: Where
    release: str = ""
    sae_id: str = ""
    hub: str = ""
    folder: str = ""
    """Inside the repository; of an upload what its folder is called."""
    revision: str = ""
    path: str = ""
    """On the server; of an upload the name that `Bring.keep_upload` gave it."""

    @property
    def name(self) -> str:
        """As a person would write it."""
        if self.where == "registry":
            return f"{self.release}/{self.sae_id}"
        if self.where == "hub":
            place = f"{self.hub}/{self.folder}" if self.folder else self.hub
            return f"{place}@{self.revision}" if self.revision else place
        return self.folder or self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(Shown):
    """Figures that come with an SAE; None where nothing is said."""

    l0: float | None = None
    explained_variance: float | None = None
    ce_loss_score: float | None = None
    by: str = ""
    """Who says so."""

    def __bool__(self) -> bool:
        return any(v is not None for v in (self.l0, self.explained_variance, self.ce_loss_score))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFound(Shown):
    """The model that an SAE belongs to, as a build would take it."""

    id: str
    """What it is called here."""
    said: str = ""
    """What the SAE calls it."""
    transformer_lens: str = ""
    hub: str = ""
    path: str = ""
    revision: str = ""
    here: bool = False
    """Whether its weights are on this machine."""
    bytes: int | None = None
    """To download, or on disk; None where that is not known."""
    built: bool = False
    """Whether it has sources in the catalog already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFound(Shown):
    """An export at a place: dashboards, with weights or without, as `python -m core import` takes it."""

    format: str
    """`neuronpedia`, `explanations` (those alone), `saedashboard`, `neuronrecord`, `parquet` or `delphi`."""
    sources: tuple[str, ...]
    """What it calls them; of a delphi cache its hook points, which are no ids."""
    named: bool = True
    """Whether it says of which model and source it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Shown):
    """One source that an import brought, or explanations that it attached."""

    key: str
    format: str
    features: int
    activations: int
    explanations: int
    left_out: int
    """Lines that could not be read."""
    findings: tuple[str, ...]
    """What was missing or strange, with file and line; the first of each file's."""
    needs_weights: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Shown):
    """What was found at a place, before any weights are read."""

    place: Place
    kind: str
    architecture: str
    hook: str
    hook_out: str = ""
    layer: int
    width: int
    d_in: int
    context: int | None = None
    """Tokens of a text that it was trained on."""
    bos: bool | None = None
    """Whether it was trained with BOS in front."""
    dtype: str = ""
    normalisation: str = ""
    trained_on: str = ""
    model: ModelFound | None = None
    """None where the SAE does not say."""
    bytes: int | None = None
    """Of its files."""
    here: bool = True
    """Whether they are on this machine."""
    published: Published = field(default_factory=Published)
    source_id: str = ""
    """What it could be called here."""
    notes: tuple[str, ...] = ()
    """What one should know."""
    export: ExportFound | None = None
    """Where there are dashboards and not weights to build from; of what is above, the place and bytes count then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts(Shown):
    """What a source is built on: the demo's texts, an uploaded file, or a data set on the hub."""

    what: Literal["demo", "upload", "hub"] = "demo"
    path: str = ""
    """Of an upload."""
    hub: str = ""
    name: str = ""
    """The hub data set's subset."""
    split: str = "train"
    column: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Shown):
    """What is to be built of what was found; 0 and empty leave it to what the SAE says."""

    source_id: str = ""
    model: str = ""
    """A model of the catalog, a hub repository, a TransformerLens name or an allowed folder; empty: the SAE's own."""
    texts: Texts = field(default_factory=Texts)
    prompts: int = 2400
    context: int = 0
    hook: str = ""
    bos: bool | None = None
    """Whether it is well to put BOS in front, where the SAE says otherwise or the model has none."""
    store: bool = True
    as_: str = ""
    """Of an export: what it is called here, a model or model/source; empty: as it says."""
    only: tuple[str, ...] = ()
    """Of an export's sources; all without any."""
    leave_out: bool = False
    """Of an export: whether lines that cannot be read are left out, and said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried(Shown):
    """What a few prompts say."""

    source: str
    verdict: Verdict
    said: tuple[str, ...]
    """Why, a sentence each."""
    tokens: int
    l0: float
    explained_variance: float
    ce_loss_score: float
    ce_loss: float
    ce_loss_spliced: float
    ce_loss_zero: float
    width: int
    published: Published = field(default_factory=Published)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Shown):
    """How far the process of a step is, as it wrote it last."""

    step: Step
    what: str = ""
    done: float = 0.0
    of: float = 0.0
    rate: float = 0.0
    """Of `done` a second, since this part began; 0 where nothing can be said."""
    seconds: float = 0.0
    """Since the step began, or that it took."""

    @property
    def part(self) -> float | None:
        """How much of this part is done, from 0 to 1; None where it cannot be counted."""
        return min(1.0, self.done / self.of) if self.of > 1 else None

    @property
    def left(self) -> float | None:
        """Seconds to the end of this part."""
        return (self.of - self.done) / self.rate if self.rate > 0 and self.of > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord(Shown):
    """One source on its way in."""

    id: str
    made: str
    """ISO 8601, UTC."""
    by: str
    """Who began it, by name."""
    look: Look
    plan: Plan
    state: State
    step: Step | None = None
    """What is at work, was last at work, or waits to be."""
    before: int = 0
    """Of a job that waits: how many are before it."""
    progress: Progress | None = None
    message: str = ""
    """Why it failed."""
    config: str = ""
    """The build's configuration, as YAML; of an import the command that does the same."""
    tried: Tried | None = None
    sources: tuple[str, ...] = ()
    """What was built, once it is done."""
    imported: tuple[Imported, ...] = ()
    """What an import brought, once it is done."""
    findings: tuple[str, ...] = ()
    """Why an import was refused, line by line."""
