"""From what was found and what is wanted to a build's configuration, as YAML that `python -m core build` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from core.bring import models
from core.bring.records import ExportFound, Look, ModelFound, Plan, Texts
from core.build.config import read_config
from core.errors import BadConfig, BadInput
from core.records import SourceKey
from core.settings import HERE

DEMO = HERE / "demo" / "texts"
CONTEXT = 128
"""Tokens of a prompt, unless the SAE was trained on fewer."""
LEAST, MOST = 2, 8192
PROMPTS = 1_000_000
"""At most."""
_HEAD = "# {0}, as Featurescope's page for adding sources wrote it. The same by hand: python -m core build THIS_FILE\n"


def complete(plan: Plan, look: Look, taken: Iterable[str]) -> Plan:
    """The plan with everything said that can be left out.

    `taken` are ids of sources that the model has already: one that nobody chose steps aside. Raises `BadInput`.
    """
    source_id = plan.source_id.strip()
    if not source_id:
        there, source_id, n = set(taken), look.source_id, 2
        while source_id in there:
            source_id, n = f"{look.source_id}__{n}", n + 1
    context = plan.context or min(CONTEXT, look.context or CONTEXT)
    if not LEAST <= context <= MOST:
        raise BadInput(f"A prompt has {LEAST} to {MOST:,} tokens, not {context:,}.")
    if not 1 <= plan.prompts <= PROMPTS:
        raise BadInput(f"A build has 1 to {PROMPTS:,} prompts, not {plan.prompts:,}.")
    if not (look.hook or plan.hook.strip()):
        raise BadInput("Name the hook at which it belongs, such as blocks.8.hook_resid_pre: its files do not say.")
    return replace(plan, source_id=source_id, context=context, hook=plan.hook.strip(), model=plan.model.strip())


def imported(plan: Plan, export: ExportFound, place: Path | None) -> tuple[Plan, list[str]]:
    """The plan of an import, and what its command is told; that is empty while the export is still to be named.

    Raises `BadInput` for a name that is none, or a source that the export does not have.
    """
    as_, only = plan.as_.strip(), tuple(one for one in plan.only if one in export.sources)
    if len(only) < len(plan.only):
        raise BadInput(f"The export has {', '.join(export.sources[:20])}; choose among these.")
    chosen = only or export.sources
    if "/" in as_:
        SourceKey.parse(as_)
        if len(chosen) > 1:
            raise BadInput(f"There are {len(chosen)} sources: name a model alone, or choose one of them.")
    elif as_:
        SourceKey(as_, "0-any")  # its message says what a model's id is
    plan = replace(plan, as_=as_, only=() if len(only) == len(export.sources) else only)
    if (not export.named and not as_) or (export.format == "delphi" and ("/" not in as_ or len(chosen) != 1)):
        return plan, []
    told = [str(place), *(["--as", as_] if as_ else []), *(["--leave-out"] if plan.leave_out else [])]
    return plan, [*told, *(["--only", *plan.only] if plan.only else [])]


def model_of(plan: Plan, look: Look, find: models.Finder) -> ModelFound:
    """The model that is to be built with; raises `BadInput` where nobody says which."""
    if plan.model:
        return find(plan.model)
    if look.model is None:
        raise BadInput("Name the model that it was trained on: its files do not say.")
    return look.model


def written(plan: Plan, look: Look, model: ModelFound, sae: Path | None, texts: Callable[[str], Path]) -> str:
    """The configuration; `sae` is the folder of weights that are here, `texts` finds an uploaded text.

    Raises:
        BadInput: an id is none, or the texts are not said.
        BadConfig: the build would refuse it.
    """
    SourceKey(model.id, plan.source_id)  # its message says what an id is
    data = {
        "model": _model(model),
        "release": _release(look),
        "sources": [{"id": plan.source_id, "sae": _sae(plan, look, sae)}],
        "dataset": _dataset(plan.texts, texts),
        "prompts": plan.prompts,
        "context": plan.context,
        "cut": "first" if plan.texts.what == "hub" else "chunks",
        **({} if plan.store else {"store": False}),
    }
    text = _HEAD.format(SourceKey(model.id, plan.source_id))
    return text + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _model(model: ModelFound) -> dict[str, str]:
    place = {"path": model.path} if model.path else {"hub": model.hub} if model.hub else None
    place = place or {"transformer_lens": model.transformer_lens}
    return {"id": model.id, **place, **({"revision": model.revision} if model.revision else {})}


def _release(look: Look) -> dict[str, Any]:
    place = look.place
    name = place.release or place.hub or look.source_id.split("-", 1)[-1]
    urls = [f"https://huggingface.co/{place.hub}"] if place.hub else []
    said = f"{look.architecture} {look.kind} of {look.width:,} features at {look.hook}".strip()
    return {"name": name, "description": f"{said[:1].upper()}{said[1:]}.", **({"urls": urls} if urls else {})}


def _sae(plan: Plan, look: Look, sae: Path | None) -> dict[str, Any]:
    place = look.place
    more: dict[str, Any] = {"hook": plan.hook} if plan.hook else {}
    if plan.bos is not None:
        more["bos"] = plan.bos
    if look.context is not None and plan.context > look.context:
        more["context"] = plan.context
    if place.where == "registry":
        at = {"revision": place.revision} if place.revision else {}
        return {"release": place.release, "sae_id": place.sae_id, **at, **more}
    if place.where == "hub":
        folder = {"folder": place.folder} if place.folder else {}
        return {"hub": place.hub, **folder, "revision": place.revision, **more}
    return {"path": str(sae), **more}


def _dataset(texts: Texts, find: Callable[[str], Path]) -> dict[str, Any]:
    if texts.what == "hub":
        if not texts.hub.strip():
            raise BadInput("Name a data set of the hub, such as Skylion007/openwebtext.")
        name = {"name": texts.name.strip()} if texts.name.strip() else {}
        column = texts.column.strip() or "text"
        return {"hub": texts.hub.strip(), **name, "split": texts.split.strip() or "train", "text": column}
    if texts.what == "upload":
        if not texts.path:
            raise BadInput("Choose a text file.")
        return {"path": str(find(texts.path)), "separator": "\n<|endoftext|>\n"}
    if not demo_texts():
        raise BadInput("The demo's texts are not on this server: choose others.")
    return {"path": str(DEMO / "*.txt.xz"), "separator": "\n<|endoftext|>\n"}


def demo_texts() -> bool:
    """Whether the demo's texts are here."""
    return any(DEMO.glob("*.txt.xz"))


def check(text: str, folder: Path) -> None:
    """Refuses a configuration that the build would refuse; `folder` is where it will lie. Raises `BadConfig`."""
    path = folder / ".asked.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        read_config(path)
    except BadConfig as error:
        raise BadConfig(str(error).removeprefix(f"{path}: ")) from error
    finally:
        path.unlink()
