"""What is at a place, before any weights are read: every format, what is missing, damaged, or not allowed."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from core.bring.allowed import Allowed
from core.bring.look import header
from core.bring.models import aliases, official, slug
from core.bring.records import Place
from core.errors import BadConfig, BadInput, NotAllowed, NotFound
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core.interchange.conftest import write


@pytest.fixture
def look(bench):
    return lambda path: bench.bring.look(Place(where="folder", path=path))


def rewritten(folder, change):
    """The folder with another cfg.json; it may be linked to one that others read."""
    path = folder / "cfg.json"
    config = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps(change(config)))


def test_saelens(look, data):
    found = look("coder")
    assert (found.kind, found.architecture, found.hook, found.hook_out) == (
        "transcoder", "transcoder", "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out",
    )  # fmt: skip
    assert (found.layer, found.width, found.d_in, found.context, found.bos) == (1, 64, 32, 48, True)
    assert found.bytes == sum(p.stat().st_size for p in (data / "incoming" / "coder").iterdir()) and found.here


def test_before_version_6_it_says_the_same(look, data):
    new = look("mirror")

    def old(config):
        flat = {k: v for k, v in config.items() if k not in ("metadata", "architecture")}
        about = config["metadata"]
        names = {"hook_point": about["hook_name"], "hook_point_layer": 1, "activation_fn_str": "relu"}
        return flat | names | {k: about[k] for k in ("model_name", "context_size", "prepend_bos")}

    rewritten(data / "incoming" / "mirror", old)
    again = look("mirror")
    assert (again.hook, again.layer, again.width, again.context, again.bos, again.architecture) == (
        new.hook, new.layer, new.width, new.context, new.bos, "standard",
    )  # fmt: skip
    assert again.model.said == "pocket"


def test_sparsify(look, data):
    folder = data / "incoming" / "run" / "layers.1"
    folder.mkdir(parents=True)
    (folder.parent / "config.json").write_text(json.dumps({"model": "org/pocket", "ctx_len": 32}))
    (folder / "cfg.json").write_text(json.dumps({"d_in": 32, "expansion_factor": 2, "num_latents": 0, "k": 4}))
    save_file({"W_dec": torch.zeros(64, 32)}, folder / "sae.safetensors")
    found = look("run/layers.1")
    assert (found.hook, found.width, found.context, found.kind) == ("blocks.1.hook_resid_post", 64, 32, "sae")
    assert found.model.hub == "org/pocket" and not found.model.here
    with pytest.raises(NotFound, match=r"Inside it: layers\.1"):
        look("run")


def test_dictionary_learning_with_its_figures(look, data):
    folder = data / "incoming" / "theirs"
    folder.mkdir()
    trainer = {"dict_class": "AutoEncoderTopK", "activation_dim": 32, "dict_size": 64, "k": 4, "layer": 1,
               "lm_name": "pocket", "submodule_name": "resid_post_layer_1"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 24}}))
    torch.save({}, folder / "ae.pt")
    (folder / "eval_results.json").write_text(
        json.dumps({"l0": 4.0, "frac_variance_explained": 0.8, "frac_recovered": 0.9})
    )
    found = look("theirs")
    assert (found.hook, found.width, found.context) == ("blocks.1.hook_resid_post", 64, 24)
    p = found.published
    assert (p.l0, p.explained_variance, p.ce_loss_score, p.by) == (4.0, 0.8, 0.9, "its eval_results.json")


def test_l0_is_read_off_saelens_own_sparsities(look, data):
    save_file({"sparsity": torch.full((64,), -1.0)}, data / "incoming" / "mirror" / "sparsity.safetensors")
    assert look("mirror").published.l0 == pytest.approx(6.4)
    (data / "incoming" / "mirror" / "sparsity.safetensors").write_bytes(b"no")
    assert not look("mirror").published


def test_the_model_is_found_where_it_was_built(bench, tiny_root, data, weights):
    own = Workbench(Settings(data=data, demo=tiny_root))
    found = own.bring.look(Place(where="folder", path="noise")).model
    assert found.built and found.here and found.path.endswith("/model") and found.id == "tiny"
    assert not bench.bring.look(Place(where="folder", path="noise")).model.built


def test_an_export_is_no_sae_and_is_found_as_what_it_is(look, data):
    folder = data / "incoming" / "v1" / "gpt2" / "8-res" / "features"
    write(folder / "batch-0.jsonl.gz", [{"modelId": "gpt2", "layer": "8-res", "index": "0"}])
    for name in ("v1", "v1/gpt2/8-res"):
        found = look(name)
        assert found.export.sources == ("gpt2/8-res",) and found.kind == "export" and not found.width


def test_what_this_machine_is_too_small_for_is_said(bench, weights):
    small = Workbench(Settings(data=bench.settings.data, demo=None, memory_mb=1))
    assert not bench.bring.look(Place(where="folder", path="mirror")).notes
    big = bench.settings.data / "incoming" / "mirror" / "notes.bin"
    big.write_bytes(b"x" * 2**21)
    (told,) = small.bring.look(Place(where="folder", path="mirror")).notes
    assert "FEATURESCOPE_MEMORY_MB" in told


def test_names_of_models():
    assert official("gpt2-small") == "gpt2" and "gpt2-small" in aliases()["gpt2"] and official("no-such") == "no-such"
    assert slug("org/My model!") == "org-My-model" and slug("///") == "model"


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda f: (f / "cfg.json").unlink(), "no folder of an SAE"),
        (lambda f: rewritten(f, lambda c: {}), "does not say how wide"),
        (lambda f: rewritten(f, lambda c: c | {"d_sae": 63}), "63 features, but its weights have 64"),
        (lambda f: rewritten(f, lambda c: c | {"d_sae": "64"}), "does not say how wide"),
        (lambda f: rewritten(f, lambda c: [1]), "no JSON object"),
        (lambda f: (f / "sae_weights.safetensors").unlink(), "no weights"),
        (lambda f: cut_off(f / "sae_weights.safetensors"), "cut off"),
    ],
)
def test_what_is_wrong_is_said(look, data, damage, word):
    folder = data / "incoming" / "broken"
    shutil.copytree(data / "incoming" / "mirror", folder)
    damage(folder)
    with pytest.raises((BadConfig, NotFound), match=word):
        look("broken")


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08" + b"\0" * 7 + b"{}", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"[]", b"\x04" + b"\0" * 7 + b"null"],
)
def test_a_header_that_is_none(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(BadConfig, match="damaged"):
        header(tmp_path / "x.safetensors")


# -- from where --------------------------------------------------------------------------------------------------------


def test_folders_are_taken_from_below_the_allowed_ones(tmp_path):
    data, other, secret = tmp_path / "data", tmp_path / "other", tmp_path / "secret"
    for folder in (data / "incoming" / "a", other / "b", secret):
        tiny.identity(folder)
    (other / "out").symlink_to(secret)
    allowed = Allowed(Settings(data=data, demo=None, incoming=str(other)))
    assert allowed.folder("a") == (data / "incoming" / "a").resolve()
    assert allowed.folder("b") == allowed.folder(str(other / "b")) == (other / "b").resolve()
    assert [p.rsplit("/", 1)[1] for p in allowed.folders()] == ["a", "b"]
    with pytest.raises(NotFound, match="no folder out"):  # a link that leads elsewhere is none of ours
        allowed.folder("out")
    for name in (str(secret), "../../secret", str(other / "out"), "/etc", "~root", str(other / ".." / "secret")):
        with pytest.raises(NotAllowed, match="FEATURESCOPE_INCOMING"):
            allowed.folder(name)
    with pytest.raises(NotAllowed):
        Allowed(Settings(data=data, demo=None)).folder(str(other / "b"))
    for name in ("", " ", "a\0b"):
        with pytest.raises(BadInput):
            allowed.folder(name)
    with pytest.raises(NotFound):
        allowed.folder("nothing")


def test_an_upload_is_looked_at_under_its_own_name(bench, data):
    files = [(path.name, path.open("rb")) for path in sorted((data / "incoming" / "mirror").iterdir())]
    name = bench.bring.uploads.keep([(f"mirror/{file}", content) for file, content in files])
    job = bench.bring.begin(Place(where="upload", path=name))
    assert job.look.place.name == "mirror" and job.plan.source_id == "1-res-mirror"
    assert str(data / ".uploads" / name / "files" / "mirror") in job.config
    with pytest.raises(NotFound, match="no upload"):
        bench.bring.look(Place(where="upload", path="../incoming"))


@pytest.mark.parametrize("key", ["model_name", "normalize_activations", "hook_name", "dataset_path", "dtype"])
def test_half_a_character_in_a_configuration(bench, data, key):
    """JSON can say half a surrogate pair, which no file can."""
    rewritten(
        data / "incoming" / "mirror",
        lambda one: one | {key: "\ud800x", "metadata": one["metadata"] | {key: "\ud800x"}},
    )
    job = bench.bring.begin(Place(where="folder", path="mirror"))
    assert bench.bring.job(job.id).look.width == job.look.width > 0
