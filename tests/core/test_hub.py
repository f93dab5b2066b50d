"""The hub as it is on bad days: slow, cut off, gated, in trouble, moved on; all of it on loopback, in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from core import hub
from core.errors import BadConfig, Busy, NotAvailable
from tests import tiny
from tests.hub import Hub

ROOT = Path(__file__).parents[2]
RELEASE = "jbloom/GPT2-Small-SAEs-Reformatted"
"""The repository behind SAELens's release gpt2-small-res-jb."""
WEIGHTS = "sae_weights.safetensors"
PROGRAM = """
import dataclasses, json, os, sys
from pathlib import Path
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1000  # what is written at once, and so may be gone on from
from core.bring.records import Place
from core.errors import WorkbenchError
from core.settings import Settings
from core.workbench import Workbench

folder, said = Path(sys.argv[1]), {}
def told(name, ask):
    try:
        said[name] = ask()
    except WorkbenchError as error:
        said[name] = f"{type(error).__name__}: {error}"
def bench(name):
    return Workbench(Settings(data=folder / name, demo=None))
def build(name):
    bench(name).build(folder / f"{name}.yaml")
    return json.loads((folder / name / "tiny/1-a/source.json").read_text())["weights"]["commit"], json.loads(
        (folder / name / "tiny/model.json").read_text())["spec"]["commit"]
def look(**place):
    found = bench("look").bring.look(Place(where="hub", **place))
    return dataclasses.asdict(found)
def fires(name):
    hits = bench(name).search("tiny", "The capital of France", measure="value", top=5).hits
    return [(str(hit.key), [round(v, 4) for v in hit.values]) for hit in hits]

for name in ("cut", "slow", "gated-sae", "gated-model", "broken", "none", "wrong"):
    told(name, lambda: build(name))
told("before", lambda: fires("cut"))
print("MOVE", flush=True)
sys.stdin.readline()
told("after", lambda: fires("cut"))
told("registry", lambda: dataclasses.asdict(bench("look").bring.look(
    Place(where="registry", release="gpt2-small-res-jb", sae_id="blocks.1.hook_resid_pre"))))
told("look", lambda: look(hub="org/flat"))
told("inside", lambda: look(hub="org/saes", folder="layer_1"))
told("elsewhere", lambda: look(hub="org/saes"))
told("gated look", lambda: look(hub="org/gated"))
told("no look", lambda: look(hub="org/none"))
told("no SAE", lambda: look(hub="org/tiny"))
told("wrong look", lambda: look(hub="org/flat", revision="v9"))
told("broken look", lambda: look(hub="org/broken"))
os.environ["HF_TOKEN"] = "wrong"
told("wrong token", lambda: look(hub="org/gated"))
os.environ["HF_TOKEN"] = "right"
told("right token", lambda: look(hub="org/gated"))
print("SAID" + json.dumps(said))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(what each was told, the hub, the commits as they were, what was asked for after the move)."""
    root, folder = tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("work")
    tiny.model(root / "model", scale=8.0)
    for name in ("flat", "gated", "broken"):
        tiny.sae(root / name, bias=-0.3)
    tiny.sae(root / "saes" / "layer_1", bias=-0.3)
    tiny.sae(root / "release" / "blocks.1.hook_resid_pre", bias=-0.3)
    names = {"org/tiny": "model", "org/flat": "flat", "org/gated": "gated", "org/closed": "model",
             "org/broken": "broken", "org/saes": "saes", RELEASE: "release"}  # fmt: skip
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(tiny.LINES), encoding="utf-8")
    for name, sae, model in (
        ("cut", {"hub": "org/flat"}, {"hub": "org/tiny"}),
        ("slow", {"hub": "org/saes", "folder": "layer_1"}, {"hub": "org/tiny"}),
        ("gated-sae", {"hub": "org/gated"}, {"hub": "org/tiny"}),
        ("gated-model", {"hub": "org/flat"}, {"hub": "org/closed"}),
        ("broken", {"hub": "org/broken"}, {"hub": "org/tiny"}),
        ("none", {"hub": "org/none"}, {"hub": "org/tiny"}),
        ("wrong", {"hub": "org/flat", "revision": "v9"}, {"hub": "org/tiny"}),
    ):
        config = {"model": {"id": "tiny", **model}, "sources": [{"id": "1-a", "sae": sae}], "context": 16,
                  "dataset": {"path": "texts.txt"}}  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    trouble = {
        "gated": {"org/gated": "right", "org/closed": "right"}, "broken": frozenset({"org/broken"}),
        "cut": {f"org/flat/{WEIGHTS}": 3000, "org/tiny/model.safetensors": 5000},
        "slow": {f"org/saes/layer_1/{WEIGHTS}": 1.0},
    }  # fmt: skip
    with Hub({name: root / place for name, place in names.items()}, **trouble) as server:
        was = {name: server.commit(name) for name in ("org/tiny", "org/flat", "org/saes")}
        environment = os.environ | server.environment(folder / "home") | {"OMP_NUM_THREADS": "1"}
        environment.pop("HF_TOKEN", None)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        for line in process.stdout:
            if line.strip() == "MOVE":
                break
        asked = len(server.asked)
        tiny.sae(root / "flat", bias=0.5, seed=9)  # what `main` is moves on, the model too
        tiny_model = root / "model" / "config.json"
        tiny_model.write_text(tiny_model.read_text().replace("}", " }"))
        out, err = process.communicate("\n", timeout=240)
        assert process.returncode == 0, err
        yield json.loads(out.rsplit("SAID", 1)[1]), server, was, server.asked[asked:]


def test_what_was_cut_off_goes_on_where_it_was(found):
    said, server, was, _ = found
    assert said["cut"] == [was["org/flat"], was["org/tiny"]], "and both commits stand in the manifests"
    assert {place: begin for place, begin in server.ranges} == {
        f"org/flat/{WEIGHTS}": "bytes=3000-", "org/tiny/model.safetensors": "bytes=5000-",
    }  # fmt: skip
    assert server.cut == {}


def test_what_is_slow_is_waited_for(found):
    said, _, was, _ = found
    assert said["slow"] == [was["org/saes"], was["org/tiny"]]


def test_a_built_source_stays_with_its_commit(found):
    """The hub has moved on: the same numbers from the same files, and nothing of the new ones is asked for."""
    said, server, was, later = found
    assert said["after"] == said["before"] and said["before"]
    assert server.commit("org/flat") != was["org/flat"] and server.commit("org/tiny") != was["org/tiny"]
    moved = server.commit("org/tiny")
    assert not any(path.startswith(f"org/tiny/resolve/{moved}") for path in later)


@pytest.mark.parametrize("name", ["gated-sae", "gated-model", "gated look"])
def test_a_gated_repository_says_where_to_ask_and_which_variable_holds_the_token(found, name):
    said, server, _, _ = found
    repository = "org/closed" if name == "gated-model" else "org/gated"
    page = f"http://127.0.0.1:{server.server.server_address[1]}/{repository}"
    assert said[name].startswith("NotAvailable") and f"ask for access at {page}" in said[name]
    assert "HF_TOKEN (there is no token in HF_TOKEN)" in said[name] and "\n" not in said[name]


def test_a_token_that_does_not_open_it_is_said_and_never_shown(found):
    said = found[0]
    assert "the token in HF_TOKEN does not open it" in said["wrong token"]
    assert "wrong" not in said["wrong token"] and said["right token"]["width"] == 64


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "BadConfig: sources.0: The SAE org/none cannot be loaded: the hub has no org/none, or it is private"),
        ("wrong", "BadConfig: sources.0: The SAE org/flat@v9 cannot be loaded: the hub has no org/flat@v9."),
        ("broken", "Busy: The SAE org/broken cannot be loaded: org/broken cannot be fetched: "),
        ("no look", "BadConfig: The hub has no org/none"), ("wrong look", "BadConfig: The hub has no org/flat@v9."),
        ("broken look", "Busy: Org/broken cannot be fetched"), ("no SAE", "NotFound: org/tiny holds no SAE"),
        ("elsewhere", "NotFound: The root of org/saes holds no SAE. Name one of its folders: layer_1."),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence(found, name, says):
    assert str(found[0][name]).startswith(says) and "\n" not in found[0][name]


def test_a_look_at_the_hub_fetches_a_configuration_and_pins_the_commit(found):
    said, server, was, later = found
    look = said["inside"]
    assert (look["place"]["revision"], look["place"]["folder"]) == (was["org/saes"], "layer_1")
    assert (look["width"], look["d_in"], look["hook"], look["here"]) == (64, 32, "blocks.1.hook_resid_pre", True)
    folder = server.repositories["org/saes"] / "layer_1"
    assert look["bytes"] == sum((folder / name).stat().st_size for name in ("cfg.json", WEIGHTS))
    moved = said["look"]
    assert moved["place"]["revision"] == server.commit("org/flat") and moved["here"] is False
    assert not any(path.startswith(f"org/flat/resolve/{server.commit('org/flat')}/{WEIGHTS}") for path in later)


def test_a_look_at_the_registry(found):
    """What SAELens's own loader says of the configuration, the registry's figures, Neuronpedia's name for it."""
    look, server = found[0]["registry"], found[1]
    assert (look["hook"], look["width"], look["source_id"]) == ("blocks.1.hook_resid_pre", 64, "1-res-jb")
    assert look["published"]["explained_variance"] == 0.999 and look["published"]["by"] == "SAELens’s registry"
    folder = server.repositories[RELEASE] / "blocks.1.hook_resid_pre"
    assert look["bytes"] == sum(path.stat().st_size for path in folder.iterdir())


# -- the words, without a hub ------------------------------------------------------------------------------------------


def test_errors_that_are_not_the_hubs_are_left_alone():
    assert hub.translated(ValueError("x"), "org/x") is None
    with pytest.raises(ZeroDivisionError), hub.said("org/x"):
        raise ZeroDivisionError
    with pytest.raises(NotAvailable, match="ours"), hub.said("org/x"):
        raise NotAvailable("ours")


def test_a_connection_that_is_not_made_is_busy_also_where_it_is_wrapped():
    outer = OSError("We couldn't connect")
    outer.__cause__ = httpx.ConnectError("refused")
    assert isinstance(hub.translated(outer, "org/x"), Busy)
    loop = ValueError("a")
    loop.__cause__ = loop
    assert hub.translated(loop, "org/x") is None


def test_an_optional_file_that_is_not_there_is_no_reason():
    from huggingface_hub.errors import EntryNotFoundError

    outer = ValueError("the tokenizer is damaged")
    outer.__context__ = EntryNotFoundError("404")
    assert hub.translated(outer, "org/x") is None
    assert isinstance(hub.translated(EntryNotFoundError("404"), "org/x"), BadConfig)
