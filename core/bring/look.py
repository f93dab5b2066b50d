"""What an SAE is, from its configuration and the headers of its files: before any weights are read or fetched.

A folder of SAELens's (`cfg.json`, of version 6 or before), sparsify's or dictionary_learning's; the same in a hub
repository; or a release of SAELens's registry, whose own loaders say what its configuration is whatever the format of
its files. Cost: of a folder nothing; of the hub some small files and a listing.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import hub
from core.bring import models, published, registry
from core.bring.records import ExportFound, Look, ModelFound, Place, Published
from core.errors import BadConfig, BadInput, NotFound
from core.interchange.bulk.bring import Surveyed
from core.sources.folders import EXPECTED, FILES, Format, format_of, hook_of, read_json

SHOWN = 12
"""Folders of a repository that are named."""
HEADER = 2**24
"""Bytes of a safetensors header at most."""
_LAYER = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
_SETS = (("attn", "att"), ("mlp", "mlp"), ("resid", "res"))


Surveyor = Callable[[Path], Surveyed | None]
"""What a folder or an archive has to be imported."""


def look(place: Place, folder: Path | None, find: models.Finder, survey: Surveyor) -> Look:
    """What is at a place; `folder` is where that is, for one of this machine; `find` finds the model of a name.

    Of a folder that holds no SAE, `survey` says what it has to be imported.

    Raises:
        NotFound: there is nothing.
        BadConfig: what is there is no SAE that can be a source.
        NotAvailable: the hub does not give it to this server.
        Busy: the hub does not answer.
    """
    if place.where == "registry":
        return _of_registry(place, find)
    if place.where == "hub":
        return _of_hub(place, find)
    assert folder is not None
    kind = format_of(folder) if folder.is_dir() else None
    if kind is None:
        if (there := survey(folder)) is not None:
            return of_export(place, there)
        near = ", ".join(sorted({p.parent.relative_to(folder).as_posix() for p in folder.glob("*/cfg.json")})[:SHOWN])
        raise NotFound(
            f"{place.path} is no folder of an SAE: it has no {EXPECTED}." + (f" Inside it: {near}." if near else "")
        )
    found = _look(place, _said(kind, folder), find, folder.name)
    _check_weights(found, folder)
    files = [path for path in folder.iterdir() if path.is_file()]
    return replace(
        found, bytes=sum(path.stat().st_size for path in files), published=published.of_folder(folder), here=True
    )


def of_export(place: Place, found: Surveyed) -> Look:
    """An export, as what was found of it says."""
    return Look(
        place=place, kind="export", architecture=found.format, hook="", layer=0, width=0, d_in=0, bytes=found.bytes,
        source_id=found.sources[0].rpartition("/")[2] if len(found.sources) == 1 else f"{len(found.sources)} sources",
        export=ExportFound(format=found.format, sources=found.sources, named=found.named),
    )  # fmt: skip


# -- a folder ----------------------------------------------------------------------------------------------------------


def _said(kind: Format, folder: Path) -> dict[str, Any]:
    """What the configuration in a folder of that format says, by SAELens's names."""
    if kind == "sparsify":
        return _of_sparsify(folder)
    if kind == "dictionary_learning":
        return _of_dictlearn(folder)
    return _flat(read_json(folder / "cfg.json"))


def _of_sparsify(folder: Path) -> dict[str, Any]:
    said = read_json(folder / "cfg.json")
    hooks = hook_of((folder.parent if re.fullmatch(r"seed\d+", folder.name) else folder).name)
    transcode = bool(said.get("transcode"))
    run = read_json(folder.parent / "config.json") if (folder.parent / "config.json").is_file() else {}
    return {
        "architecture": "sparsify transcoder" if transcode else "sparsify",
        "d_in": said.get("d_in"), "d_sae": said.get("num_latents") or _times(said, "d_in", "expansion_factor"),
        "hook_name": (hooks[0] if transcode else hooks[1]) if hooks else None,
        "hook_name_out": hooks[1] if hooks and transcode else None,
        "model_name": run.get("model"), "context_size": run.get("ctx_len"),
    }  # fmt: skip


def _of_dictlearn(folder: Path) -> dict[str, Any]:
    from core.sources import dictlearn  # brings torch

    said = read_json(folder / "config.json")
    trainer, buffer = said.get("trainer"), said.get("buffer")
    if not isinstance(trainer, dict):
        raise BadConfig("config.json has no trainer, so it does not say what the dictionary is.")
    about = dictlearn._about(trainer, buffer if isinstance(buffer, dict) else {})
    sizes = {"d_in": trainer.get("activation_dim"), "d_sae": trainer.get("dict_size")}
    return sizes | about | {"architecture": f"dictionary_learning {trainer.get('dict_class')}"}


def _times(said: Mapping[str, Any], a: str, b: str) -> int | None:
    x, y = said.get(a), said.get(b)
    return x * y if isinstance(x, int) and isinstance(y, int) else None


def _flat(said: dict[str, Any]) -> dict[str, Any]:
    """SAELens's configuration with what it says of the model on one level, as it was before version 6."""
    return said | said["metadata"] if isinstance(said.get("metadata"), dict) else said


def _check_weights(found: Look, folder: Path) -> None:
    """Raises `BadConfig` where the weights are not there, are damaged, or are of another width than was said."""
    names = [name for _, name in FILES.values() if (folder / name).is_file()]
    if not names:
        raise BadConfig(f"The folder has no weights: it should hold one of {', '.join(w for _, w in FILES.values())}.")
    shapes = header(folder / names[0]) if names[0].endswith(".safetensors") else {}
    rows = shapes.get("W_dec")
    if rows and len(rows) == 2 and rows[0] != found.width:
        raise BadConfig(f"Its configuration says {found.width:,} features, but its weights have {rows[0]:,}.")


def header(path: Path) -> dict[str, list[int]]:
    """The shapes of a safetensors file's tensors by name; raises `BadConfig` for one that is damaged."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(HEADER, size - 8):
                raise ValueError("its header is longer than the file")
            data = json.loads(file.read(length))
        tensors = {name: one for name, one in data.items() if name != "__metadata__"}
        last = max((one["data_offsets"][1] for one in tensors.values()), default=0)
        if 8 + length + last != size:
            raise ValueError(f"it should have {8 + length + last:,} bytes and has {size:,}")
        return {name: [int(n) for n in one["shape"]] for name, one in tensors.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise BadConfig(f"{path.name} is damaged or was cut off: {error}.") from error


# -- the hub -----------------------------------------------------------------------------------------------------------


def _of_hub(place: Place, find: models.Finder) -> Look:
    from huggingface_hub import HfApi, hf_hub_download

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", place.hub):
        raise BadInput(f"“{place.hub[:96]}” is no repository of the hub: they are called org/name.")
    folder = place.folder.strip("/")
    prefix = f"{folder}/" if folder else ""
    with hub.said(place.hub, place.revision or None):
        info = HfApi().model_info(place.hub, revision=place.revision or None, files_metadata=True, timeout=20)
    files = {one.rfilename: one for one in info.siblings or []}
    kind = next((k for k, names in FILES.items() if all(prefix + name in files for name in names)), None)
    if kind is None:
        raise NotFound(_elsewhere(place, files))
    above = f"{folder.rpartition('/')[0]}/config.json".lstrip("/") if folder else ""
    wanted = [prefix + FILES[kind][0], *([above] if above in files else [])]
    with hub.said(place.hub, place.revision or None):
        paths = [Path(hf_hub_download(place.hub, name, revision=info.sha)) for name in wanted]
    pinned = replace(place, folder=folder, revision=str(info.sha))
    said = _said(kind, paths[0].parent)
    kept = [one for name, one in files.items() if name in {prefix + n for n in (*FILES[kind], *published.FILES)}]
    weights = _in_cache(place.hub, prefix + FILES[kind][1], str(info.sha))
    made = _look(pinned, said, find, folder or place.hub.split("/")[-1])
    known = published.of_hub(place.hub, folder, str(info.sha))
    return replace(made, bytes=hub.size(kept), here=weights, published=known)


def _in_cache(repository: str, name: str, revision: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, name, revision=revision), str)


def _elsewhere(place: Place, files: Mapping[str, Any]) -> str:
    """That a folder holds no SAE, and which do."""
    folders = sorted(
        {
            config.removesuffix(names[0]).rstrip("/")
            for names in FILES.values()
            for config in files
            if (config == names[0] or config.endswith(f"/{names[0]}"))
            and config.removesuffix(names[0]) + names[1] in files
        }
    )
    if not folders:
        return f"{place.hub} holds no SAE: no folder of it has {EXPECTED}."
    shown = ", ".join(one or "its root" for one in folders[:SHOWN])
    more = f" and {len(folders) - SHOWN:,} more" if len(folders) > SHOWN else ""
    where = f"{place.hub}/{place.folder}" if place.folder else f"The root of {place.hub}"
    return f"{where} holds no SAE. Name one of its folders: {shown}{more}."


# -- the registry ------------------------------------------------------------------------------------------------------


def _of_registry(place: Place, find: models.Finder) -> Look:
    entry = registry.sae(place.release, place.sae_id)
    about = registry.release(place.release)
    from sae_lens.loading.pretrained_sae_loaders import load_sae_config_from_huggingface  # brings torch

    repository = str(about.get("repo_id", ""))
    try:
        with hub.said(repository):
            said = dict(load_sae_config_from_huggingface(place.release, place.sae_id))
    except (OSError, ValueError, KeyError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadConfig(f"SAELens cannot read the configuration of {place.name}: {first}") from error
    said = _flat(said)
    said.setdefault("model_name", about.get("model"))
    named = str(entry.get("neuronpedia") or "")
    made = _look(place, said, find, place.release)
    own = named.split("/", 1)[1] if "/" in named else ""
    commit, size = _now(repository, str(entry.get("path", "")))
    return replace(
        made, place=replace(place, revision=commit), bytes=size, here=False, source_id=own or made.source_id,
        published=published.of_registry(place.release, place.sae_id),
    )  # fmt: skip


def _now(repository: str, path: str) -> tuple[str, int | None]:
    """(the commit that a repository stands at, so that it is built at that one; the size of an SAE's files in it)."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(repository, files_metadata=True, timeout=10)
    except Exception:  # both are only good to know
        return "", None
    files = [one for one in info.siblings or [] if (one.rfilename + "/").startswith(f"{path}/")]
    return str(info.sha or ""), hub.size(files)


# -- all of them -------------------------------------------------------------------------------------------------------


def _look(place: Place, said: Mapping[str, Any], find: models.Finder, named: str) -> Look:
    """What a configuration says, SAELens's keys of any version."""
    hook = _text(said, "hook_name", "hook_point")
    if hook and not hook.startswith("blocks."):
        found = hook_of(hook)
        hook = found[1] if found else hook
    width, d_in = _whole(said, "d_sae"), _whole(said, "d_in")
    if not width or not d_in:
        raise BadConfig(f"{place.name}: its configuration does not say how wide it is (d_sae and d_in).")
    layer = int(match[1]) if (match := _LAYER.search(hook)) else _whole(said, "hook_layer")
    architecture = _text(said, "architecture") or _older(said)
    name, bos = _text(said, "model_name"), said.get("prepend_bos")
    model: ModelFound | None = find(name) if name else None
    return Look(
        place=place, kind="transcoder" if "transcoder" in architecture else "sae", architecture=architecture,
        hook=hook, hook_out=_text(said, "hook_name_out"), layer=layer or 0, width=width, d_in=d_in,
        context=_whole(said, "context_size"), bos=bos if isinstance(bos, bool) else None, dtype=_text(said, "dtype"),
        normalisation=_normalisation(said), trained_on=_text(said, "dataset_path"), model=model,
        published=Published(), source_id=f"{layer or 0}-{_set_name(hook, named)}",
    )  # fmt: skip


def _older(said: Mapping[str, Any]) -> str:
    return "topk" if _text(said, "activation_fn_str") == "topk" else "standard"


def _normalisation(said: Mapping[str, Any]) -> str:
    value = said.get("normalize_activations")
    return "" if value in (None, "none", False) else _plain(value)


def _set_name(hook: str, named: str) -> str:
    """What its set could be called: where it reads, and what it came from."""
    kind = next((short for part, short in _SETS if part in hook), "sae")
    kind = "transcoder" if "mlp.hook_in" in hook or "ln2" in hook else kind
    own = re.sub(r"[^A-Za-z0-9.]+", "-", named).strip("-.").lower()[:40].strip("-.")
    return own if not own or kind in own.split("-") else f"{kind}-{own}"


def _text(said: Mapping[str, Any], *names: str) -> str:
    value = next((said[name] for name in names if said.get(name)), "")
    return _plain(value) if isinstance(value, str | int | float) else ""


def _plain(value: object) -> str:
    """As a text that can be kept: JSON can say half a surrogate pair, which is none, and texts without end."""
    return str(value)[:200].encode("utf-8", "replace").decode()


def _whole(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
