"""The build's configuration file, read and checked before any work.

Knows every key of the format and nothing of tensors. What needs the model to check (whether it has a hook, whether a
shape fits) is checked by `core.build.run` right after loading, still before the first pass. Errors name the key, what
was found and what would do.
"""

from __future__ import annotations

import difflib
import glob
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadConfig, BadInput
from core.records import SourceKey
from core.sources.folders import EXPECTED, format_of


def _a_name(value: str) -> str:
    if not value or "\0" in value:
        raise ValueError("must be text")
    return value


Place = Annotated[str, AfterValidator(_a_name)]
"""A path, repository, hook or other name of something."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Strict):
    """Which model: a TransformerLens name, a local Hugging Face folder or a hub repository."""

    id: str
    transformer_lens: Place | None = None
    path: Place | None = None
    hub: Place | None = None
    revision: Place | None = None
    randomised: Literal["random", "kept"] | None = None
    """A control: the model with its weights drawn again, `kept` with its embeddings as they are."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of that draw."""
    name: str | None = None
    description: str = ""

    @model_validator(mode="after")
    def _one_place(self) -> ModelConfig:
        if sum(x is not None for x in (self.transformer_lens, self.path, self.hub)) != 1:
            raise ValueError("give exactly one of transformer_lens, path and hub")
        return self


class ReleaseConfig(_Strict):
    """The published family that the sources belong to."""

    name: str
    description: str = ""
    creator: str = ""
    urls: tuple[str, ...] = ()


class SaeConfig(_Strict):
    """Where an SAE or transcoder is: a SAELens release, or a folder, here or in a hub repository.

    A folder is SAELens's, sparsify's or dictionary_learning's (core.sources.folders). `hook`, `hook_out`, `bos` and
    `context` stand in for what its own files say of where it belongs, whether it was trained with BOS, and on how many
    tokens a prompt (core.sources.said).
    """

    release: Place | None = None
    sae_id: Place | None = None
    path: Place | None = None
    hub: Place | None = None
    folder: Place | None = None
    revision: Place | None = None
    hook: Place | None = None
    hook_out: Place | None = None
    bos: bool | None = None
    context: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> SaeConfig:
        if sum(x is not None for x in (self.release, self.path, self.hub)) != 1:
            raise ValueError("give exactly one of release (with sae_id), path and hub")
        if (self.release is None) != (self.sae_id is None):
            raise ValueError("release and sae_id go together")
        return self


class DirectionsConfig(_Strict):
    """Directions at a hook: a safetensors file of float tensors, [n, d_in] or [d_in]; `tensor` picks one of them."""

    path: Place
    hook: Place
    tensor: Place | None = None


class SourceConfig(_Strict):
    """One source: `sae` (transcoders too), `neurons` or `directions`."""

    id: str
    sae: SaeConfig | None = None
    examples: Literal["all", "few"] | None = None
    """Of this source; as for the others, if it is not given."""
    neurons: Place | None = None
    directions: DirectionsConfig | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> SourceConfig:
        if sum(x is not None for x in (self.sae, self.neurons, self.directions)) != 1:
            raise ValueError("give exactly one of sae, neurons and directions")
        return self


class DatasetConfig(_Strict):
    """The texts: files (a pattern, documents between separators), a data set on the hub, or another source's prompts.

    `like: 2-res` takes the very prompts that this source of the model was built on; `cut`, `shuffle` and `seed` are
    then of no account.
    """

    path: Place | None = None
    like: Place | None = None
    separator: str = "\n<|endoftext|>\n"
    hub: Place | None = None
    split: str = "train"
    text: str = "text"
    name: Place | None = None
    revision: Place | None = None

    @model_validator(mode="after")
    def _one_place(self) -> DatasetConfig:
        if sum(x is not None for x in (self.path, self.hub, self.like)) != 1:
            raise ValueError("give exactly one of path and hub, or like")
        if not self.separator:
            raise ValueError("separator must not be empty")
        return self


class BuildConfig(_Strict):
    """The whole file. `folder` is where it lies: relative paths are relative to it."""

    model: ModelConfig
    release: ReleaseConfig | None = None
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    dataset: DatasetConfig
    prompts: Annotated[int, Field(ge=1)] = 24576
    context: Annotated[int, Field(ge=2)] = 128
    cut: Literal["first", "chunks", "packed"] = "first"
    shuffle: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    encoders: Literal["float32", "bfloat16"] = "float32"
    """Of the encoders' products. For a GPU; in bfloat16 values are right to 1 in 256, so a
    feature near its threshold may fall on its other side. All else is as before."""
    store: bool = True
    """Keep the sparse activation store; without it a source has its dashboards only."""
    compact: bool = False
    """Compressed files, and the values of example strips in float16: a third of the size."""
    examples: Literal["all", "few"] = "all"
    """How many examples of a feature its page can show: up to 56, or 15, a third of the file."""
    annotate: bool = True
    """Say what the data tell of each feature (core.explain.annotation); `python -m core annotate` does so later."""
    map: Literal["none", "decoder", "all"] = "decoder"
    """Maps (core.atlas.map) of sources with at least 1,000 features that fire, each and together: of their decoder
    directions, or also of what is said of them, which takes an embedding each; `python -m core map` does so later."""
    together: bool = True
    """Say who fires with whom (core.atlas.together), which grows with the square of the sources: where it would take
    more than minutes, only within each source. `python -m core relate` does all of it where stores were kept."""
    near: bool = True
    """Say which decoder rows of the model's other sources are nearest (core.atlas.near), where that takes a minute or
    two at most; `python -m core near` does so later."""
    folder: Path = Path()

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        ids = [s.id for s in sources]
        if len(set(ids)) < len(ids):
            raise ValueError(f"{next(i for i in ids if ids.count(i) > 1)} stands twice")
        return sources

    def place(self, path: str) -> Path:
        """A path of the file, absolute."""
        return (self.folder / os.path.expanduser(path)).resolve()

    def model_spec(self) -> ModelSpec:
        """The model's place, with an absolute path."""
        m = self.model
        path = str(self.place(m.path)) if m.path else None
        return ModelSpec(
            id=m.id, path=path, hub=m.hub, transformer_lens=m.transformer_lens, revision=m.revision,
            randomised=m.randomised, seed=m.seed,
        )  # fmt: skip

    @property
    def half(self) -> bool:
        """Whether encoders run in bfloat16."""
        return self.encoders == "bfloat16"

    def few(self, source: SourceConfig) -> bool:
        """Whether a source keeps few examples."""
        return (source.examples or self.examples) == "few"

    def weights_spec(self, source: SourceConfig) -> WeightsSpec:
        """A source's place, with an absolute path."""
        if source.directions is not None:
            d = source.directions
            return WeightsSpec(kind="directions", path=str(self.place(d.path)), hook=d.hook, tensor=d.tensor)
        if source.sae is None:
            return WeightsSpec(kind="neurons", hook=source.neurons)
        s = source.sae
        path = str(self.place(s.path)) if s.path else None
        return WeightsSpec(
            kind="sae", path=path, release=s.release, sae_id=s.sae_id, hub=s.hub, folder=s.folder, revision=s.revision,
            hook=s.hook, hook_out=s.hook_out,
        )  # fmt: skip

    def weights_origin(self, source: SourceConfig) -> str:
        """A source's place as a person wrote it."""
        if source.directions is not None:
            tensor = source.directions.tensor
            return f"{source.directions.path}:{tensor}" if tensor else source.directions.path
        return self.weights_spec(source).origin if not (source.sae and source.sae.path) else source.sae.path

    def files(self) -> list[Path]:
        """The files that `dataset.path` names, sorted; the configuration's own folder is no part of the pattern."""
        pattern = os.path.expanduser(self.dataset.path or "")
        found = (self.folder / name for name in glob.glob(pattern, root_dir=self.folder, recursive=True))
        return sorted(path.resolve() for path in found if path.is_file())


def read_config(path: Path) -> BuildConfig:
    """Reads and checks a configuration file.

    Raises:
        BadConfig: unreadable, an unknown key, a missing file, a value out of its bounds; the message says which.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadConfig(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadConfig(f"{path} is not readable YAML: {error}") from error
    if not isinstance(data, dict):
        raise BadConfig(f"{path} holds no configuration: it begins with `model:`, `sources:` and `dataset:`.")
    if "folder" in data:
        raise BadConfig(f"{path}: unknown key “folder”.")
    try:
        config = BuildConfig.model_validate(data | {"folder": path.resolve().parent})
    except ValidationError as error:
        raise BadConfig(f"{path}: " + "; ".join(_explain(e) for e in error.errors())) from None
    _check(config, path)
    return config


def _check(config: BuildConfig, path: Path) -> None:
    """What pydantic cannot see: ids, and whether local files are there."""
    ids = [
        ("model.id", config.model.id, "0-x"),
        *((f"sources.{n}.id", "x", s.id) for n, s in enumerate(config.sources)),
        *([("dataset.like", "x", config.dataset.like)] if config.dataset.like else []),
    ]
    for where, model_id, source_id in ids:
        try:
            SourceKey(model_id, source_id)
        except BadInput as error:
            raise BadConfig(f"{path}: {where}: {error}") from None
    for n, source in enumerate(config.sources):
        if source.sae and source.sae.path and format_of(config.place(source.sae.path)) is None:
            raise BadConfig(
                f"{path}: sources.{n}.sae.path: {config.place(source.sae.path)} is no SAELens folder: there is no "
                f"{EXPECTED}."
            )
        if source.directions and not config.place(source.directions.path).is_file():
            raise BadConfig(
                f"{path}: sources.{n}.directions.path: there is no file {config.place(source.directions.path)}; "
                "directions are a safetensors file."
            )
    if config.model.path and not (config.place(config.model.path) / "config.json").is_file():
        raise BadConfig(
            f"{path}: model.path: {config.place(config.model.path)} is no Hugging Face folder (config.json)."
        )
    if config.dataset.path and not config.files():
        raise BadConfig(f"{path}: dataset.path: no file matches {config.place(config.dataset.path)}.")


_KEYS: dict[str, type[_Strict]] = {
    "": BuildConfig, "model": ModelConfig, "release": ReleaseConfig, "dataset": DatasetConfig,
    "sources": SourceConfig, "sae": SaeConfig, "directions": DirectionsConfig,
}  # fmt: skip


def _explain(error: Any) -> str:
    """One pydantic error in words."""
    where = ".".join(str(x) for x in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        parents = [str(x) for x in error["loc"][:-1] if not isinstance(x, int)]
        known = list(_KEYS[parents[-1] if parents else ""].model_fields)
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean “{close[0]}”?" if close else f"known are {', '.join(k for k in known if k != 'folder')}"
        return f"{where}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}: missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    found = error.get("input")
    return f"{where}: {message}" + (f", found {found!r}" if isinstance(found, str | int | float | bool) else "")
