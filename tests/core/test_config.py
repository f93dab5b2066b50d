"""The build's configuration: what is wrong is refused before any work, with key, what was found and what would do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.build.config import read_config
from core.errors import BadConfig, WorkbenchError
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny


@pytest.fixture
def base(tiny_config):
    """The tiny configuration as data, with absolute paths."""
    data = yaml.safe_load(tiny_config.read_text(encoding="utf-8"))
    folder = tiny_config.parent
    data["model"]["path"] = str(folder / "model")
    data["sources"][0]["sae"]["path"] = str(folder / "sae")
    data["dataset"]["path"] = str(folder / "texts.txt")
    return data


def changed(data: dict, path: str, value: object) -> dict:
    """A copy with one place changed; `...` takes it away."""
    copy = yaml.safe_load(yaml.safe_dump(data))
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    holder = copy
    for p in parents:
        holder = holder[p]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return copy


def write(folder: Path, data: object) -> Path:
    path = folder / "build.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


WRONG = [
    # an unknown key, with what was probably meant
    ("promts", 5, r"promts: unknown key; did you mean “prompts”"),
    ("folder", "/", r"unknown key “folder”"),
    ("model.pth", "x", r"model\.pth: unknown key; did you mean “path”"),
    ("sources.0.sae.foldr", "x", r"sources\.0\.sae\.foldr: unknown key; did you mean “folder”"),
    ("sources.0.directoins", {}, r"sources\.0\.directoins: unknown key; did you mean “directions”"),
    ("sources.0.sae.hok", "x", r"sources\.0\.sae\.hok: unknown key; did you mean “hook”"),
    ("sources.1.neurons", ["x"], r"sources\.1\.neurons: "),
    ("dataset.zzz", 1, r"dataset\.zzz: unknown key; known are .*separator"),
    ("release.site", "x", r"release\.site: unknown key"),
    # a missing one
    ("model", ..., r"model: missing"),
    ("model.id", ..., r"model\.id: missing"),
    ("sources", ..., r"sources: missing"),
    ("dataset", ..., r"dataset: missing"),
    ("release.name", ..., r"release\.name: missing"),
    # exactly one of
    ("model.hub", "org/name", r"model: give exactly one of transformer_lens, path and hub"),
    ("model.path", ..., r"model: give exactly one"),
    ("sources.0.neurons", "blocks.0.mlp.hook_post", r"sources\.0: give exactly one of sae, neurons and directions"),
    ("sources.1.neurons", ..., r"sources\.1: give exactly one"),
    ("sources.0.sae.hub", "org/name", r"sources\.0\.sae: give exactly one"),
    ("sources.0.sae", {}, r"sources\.0\.sae: give exactly one"),
    ("sources.0.sae", {"release": "x"}, r"sources\.0\.sae: release and sae_id go together"),
    ("sources.0.sae", {"path": "x", "sae_id": "y"}, r"sources\.0\.sae: release and sae_id go together"),
    ("dataset.hub", "org/name", r"dataset: give exactly one of path and hub"),
    ("dataset", {}, r"dataset: give exactly one"),
    ("sources.1", {"id": "0-d", "directions": {"path": "x"}}, r"sources\.1\.directions\.hook: missing"),
    ("sources.1", {"id": "0-d", "directions": {"hook": "x"}}, r"sources\.1\.directions\.path: missing"),
    ("sources.1", {"id": "0-d", "directions": {"path": "x", "hook": "h", "tensr": "y"}},
     r"sources\.1\.directions\.tensr: unknown key; did you mean “tensor”"),
    ("sources.1", {"id": "0-d", "directions": {"path": "x", "hook": ""}}, r"directions\.hook: must be text, found ''"),
    ("sources.1", {"id": "0-d", "directions": {"path": "no.safetensors", "hook": "blocks.0.hook_resid_pre"}},
     r"sources\.1\.directions\.path: there is no file .*no\.safetensors; directions are a safetensors file"),
    ("sources.1", {"id": "0-d", "directions": "dirs.safetensors"}, r"sources\.1\.directions: "),
    ("sources.0.sae.hook", "blocks.0.hook_resid_pre", r"sources\.0\.id: 1-res says layer 1, but its hook is blocks\.0"),
    ("sources.0.sae.hook", "blocks.1.attn.hook_pattern", r"hook_pattern” is no vector a token"),
    ("sources.0.sae.hook", "blocks.1.hook_nothing", r"sources\.0.* no hook “blocks\.1\.hook_nothing”"),
    # bounds and kinds
    ("prompts", 0, r"prompts: .*greater than or equal to 1, found 0"),
    ("prompts", "many", r"prompts: .*found 'many'"),
    ("context", 1, r"context: .*found 1"),
    ("context", 65, r"context: 65 is more than the 64 tokens that tiny can read"),
    ("cut", "middle", r"cut: .*'first', 'chunks' or 'packed', found 'middle'"),
    ("dtype", "float16", r"dtype: .*found 'float16'"),
    ("seed", -1, r"seed: .*found -1"),
    ("seed", 1.5, r"seed: .*found 1.5"),
    ("shuffle", "perhaps", r"shuffle: .*found 'perhaps'"),
    ("sources", [], r"sources: "),
    ("sources", None, r"sources: "),
    ("sources", "1-res", r"sources: "),
    ("model", None, r"model: "),
    ("dataset.separator", "", r"dataset: separator must not be empty"),
    # ids
    ("sources.1.id", "1-res", r"sources: 1-res stands twice"),
    ("sources.0.id", "../x", r"sources\.0\.id: .*not a source id.*8-res-jb"),
    ("sources.0.id", "1-../x", r"sources\.0\.id: "),
    ("sources.0.id", "res", r"sources\.0\.id: "),
    ("sources.0.id", "1-" + "r" * 300, r"sources\.0\.id: "),
    ("model.id", "../x", r"model\.id: .*not a model id"),
    ("model.id", "..", r"model\.id: .*not a model id"),
    ("model.id", "a/b", r"model\.id: .*not a model id"),
    ("model.id", "m" * 300, r"model\.id: "),
    # places
    ("model.path", "nowhere", r"model\.path: .*nowhere is no Hugging Face folder \(config\.json\)"),
    ("model.path", "~nobody/x", r"model\.path: "),
    ("model.path", "a\0b", r"model\.path: "),
    ("sources.0.sae.path", "nowhere", r"sources\.0\.sae\.path: .*nowhere is no SAELens folder"),
    ("sources.0.sae.path", "~nobody/x", r"sources\.0\.sae\.path: "),
    ("dataset.path", "nowhere/*.txt", r"dataset\.path: no file matches .*nowhere/\*\.txt"),
    ("dataset.path", "~nobody/x", r"dataset\.path: no file"),
    ("dataset.path", "a\0b", r"dataset\.path: must be text"),
    ("model.path", "", r"model\.path: must be text, found ''"),
    ("sources.1.neurons", "", r"sources\.1\.neurons: must be text"),
    # what needs the model
    ("sources.1.neurons", "blocks.7.mlp.hook_post", r"sources\.1.*no hook “blocks\.7\.mlp\.hook_post”: .* 2 layers"),
    ("sources.1.neurons", "blocks.0.hook_mlp", r"blocks\.0\.hook_mlp.*hook_resid_pre"),
    ("sources.1.neurons", "blocks.0.hook_resid_pre", r"“blocks\.0\.hook_resid_pre” is not where neurons are"),
    ("sources.1.neurons", "nonsense", r"“nonsense” is no hook of a block; it is written like"),
    ("sources.0.id", "0-res", r"sources\.0\.id: 0-res says layer 0, but its hook is blocks\.1\.hook_resid_pre"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=[f"{p}={str(v)[:20]}" for p, v, _ in WRONG])
def test_wrong(base, tmp_path, path, value, message):
    config = write(tmp_path, changed(base, path, value))
    root = tmp_path / "data"
    with pytest.raises(BadConfig) as raised:
        Workbench(Settings(data=root, demo=None)).build(config)
    assert re.search(message, str(raised.value)), str(raised.value)
    assert not root.exists(), "nothing is written"


def test_every_mistake_is_named_at_once(base, tmp_path):
    data = changed(changed(changed(base, "promts", 1), "context", 0), "model.id", ...)
    with pytest.raises(BadConfig, match=r"model\.id: missing.*context.*promts|promts.*context.*model"):
        read_config(write(tmp_path, data))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "1", "x", "a: [", "\t- x: y", "model: &a [*a]", "1: 2", "? [1, 2]\n: 3",
        "!!python/object:os.system {}", "model: !x y", "a: b\na: b", "- model", "\x00",
    ],
)  # fmt: skip
def test_no_configuration(tmp_path, text):
    with pytest.raises(BadConfig, match=r"build\.yaml"):
        read_config(write(tmp_path, text))


def test_no_file(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(BadConfig):
            read_config(path)
    (tmp_path / "latin.yaml").write_bytes(b"model: {id: \xe9}")
    with pytest.raises(BadConfig, match=r"latin\.yaml"):
        read_config(tmp_path / "latin.yaml")


def test_relative_paths_are_relative_to_the_file(tiny_config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = read_config(Path(os.path.relpath(tiny_config)))
    assert config.model_spec().path == str((tiny_config.parent / "model").resolve())
    assert config.files() == [(tiny_config.parent / "texts.txt").resolve()]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_anything_in_any_place_is_read_or_refused(base, tmp_path, data):
    places = (
        "model model.id model.path release release.urls sources sources.0 sources.0.id sources.0.sae "
        "sources.0.sae.path sources.1.neurons dataset dataset.path dataset.separator prompts context cut seed"
    ).split()
    value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
        ),
        max_leaves=4,
    )
    try:
        config = read_config(write(tmp_path, changed(base, data.draw(st.sampled_from(places)), data.draw(value))))
    except WorkbenchError as error:
        assert isinstance(error, BadConfig) and str(error)
        return
    assert config.prompts >= 1 and config.sources


def test_directions_are_relative_to_the_file(base, tmp_path):
    (tmp_path / "dirs.safetensors").write_bytes(b"")
    config = {"path": "dirs.safetensors", "hook": "blocks.1.hook_resid_pre", "tensor": "a"}
    read = read_config(write(tmp_path, changed(base, "sources.1", {"id": "1-d", "directions": config})))
    spec = read.weights_spec(read.sources[1])
    assert (spec.kind, spec.path, spec.hook, spec.tensor) == (
        "directions", str(tmp_path / "dirs.safetensors"), "blocks.1.hook_resid_pre", "a",
    )  # fmt: skip
    assert read.weights_origin(read.sources[1]) == "dirs.safetensors:a"


def test_directions_that_do_not_fit(base, tmp_path):
    import torch
    from safetensors.torch import save_file

    hook = "blocks.1.hook_resid_pre"
    for name, tensors, message in (
        ("narrow", {"a": torch.ones(2, 31)}, r"encoder takes 31 numbers, but blocks\.1\.hook_resid_pre of tiny has 32"),
        ("text", None, r"sources\.1: directions: text\.safetensors cannot be read"),
        ("whole", {"a": torch.ones(2, 32, dtype=torch.int64)}, r"sources\.1: directions: “a” .*is int64"),
    ):
        path = tmp_path / f"{name}.safetensors"
        path.write_text("x") if tensors is None else save_file(tensors, path)
        source = {"id": "1-d", "directions": {"path": path.name, "hook": hook}}
        refused(base, tmp_path, "sources.1", source, message)


# -- weights that do not fit -------------------------------------------------------------------------------------------


def refused(base, tmp_path, path, value, message):
    with pytest.raises(BadConfig) as raised:
        Workbench(Settings(data=tmp_path / "data", demo=None)).build(write(tmp_path, changed(base, path, value)))
    assert re.search(message, str(raised.value)), str(raised.value)
    assert not (tmp_path / "data").exists()


def test_an_sae_of_another_width(base, tmp_path):
    tiny.sae(tmp_path / "wide", d_in=48)
    refused(
        base,
        tmp_path,
        "sources.0.sae.path",
        "wide",
        r"sources\.0: its encoder takes 48 numbers, but blocks\.1\.hook_resid_pre of tiny has 32",
    )


def test_an_sae_of_a_hook_that_is_not_there(base, tmp_path):
    tiny.sae(tmp_path / "deep", hook="blocks.9.hook_resid_pre")
    refused(base, tmp_path, "sources.0.sae.path", "deep", r"no hook “blocks\.9\.hook_resid_pre”: it has 2 layers")
    tiny.sae(tmp_path / "odd", hook="transformer.h.1")
    refused(base, tmp_path, "sources.0.sae.path", "odd", r"“transformer\.h\.1” is no hook of a block")


@pytest.mark.parametrize("how", ["no weights", "short weights", "no json", "unknown", "nan"])
def test_a_damaged_sae(base, tmp_path, how):
    folder = tiny.sae(tmp_path / "bad")
    weights, cfg = folder / "sae_weights.safetensors", folder / "cfg.json"
    if how == "no weights":
        weights.unlink()
    elif how == "short weights":
        weights.write_bytes(weights.read_bytes()[:500])
    elif how == "no json":
        cfg.write_text("{")
    elif how == "unknown":
        cfg.write_text(cfg.read_text().replace('"standard"', '"fancy"'))
    else:
        tiny.sae(folder, bias=float("nan"))
    refused(
        base,
        tmp_path,
        "sources.0.sae.path",
        "bad",
        r"The SAE .*bad.*(cannot be loaded|b_enc holds numbers that are not finite)",
    )


@pytest.mark.parametrize("how", ["config", "weights", "short weights", "tokenizer", "not json", "architecture"])
def test_a_damaged_model(base, tmp_path, how):
    folder = tiny.model(tmp_path / "model")
    if how == "config":
        (folder / "config.json").write_text("{}")
    elif how == "weights":
        (folder / "model.safetensors").unlink()
    elif how == "short weights":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    elif how == "tokenizer":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    elif how == "not json":
        (folder / "config.json").write_text("{")
    else:
        text = (folder / "config.json").read_text().replace("gpt2", "unheard").replace("GPT2", "Unheard")
        (folder / "config.json").write_text(text)
    refused(base, tmp_path, "model.path", "model", r"The model tiny .*cannot be loaded: .")


def test_a_model_whose_activations_are_not_finite(base, tmp_path):
    from safetensors.torch import load_file, save_file

    path = tiny.model(tmp_path / "model") / "model.safetensors"
    tensors = load_file(path)
    tensors["transformer.h.0.mlp.c_fc.bias"][3] = float("inf")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(BadConfig, match=r"not finite"):
        Workbench(Settings(data=tmp_path / "data", demo=None)).build(
            write(tmp_path, changed(base, "model.path", "model"))
        )
    assert not list((tmp_path / "data").rglob("source.json"))


def test_texts_that_give_nothing_to_count(base, tmp_path):
    (tmp_path / "texts.txt").write_text("<|endoftext|><|endoftext|>")
    refused(base, tmp_path, "dataset.path", "texts.txt", r"dataset: .*special tokens only")
    (tmp_path / "texts.txt").write_text(" \n")
    refused(base, tmp_path, "dataset.path", "texts.txt", r"dataset: .*empty")
