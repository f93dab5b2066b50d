"""What is fetched by name: models, SAEs and SAELens releases from a hub on loopback, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core import naive
from tests.hub import Hub

ROOT = Path(__file__).parents[2]
RELEASE = "jbloom/GPT2-Small-SAEs-Reformatted"
"""The repository behind SAELens's release gpt2-small-res-jb."""


OLD = {
    "model_name": "gpt2-small", "hook_point": "blocks.1.hook_resid_pre", "hook_point_layer": 1,
    "hook_point_head_index": None, "context_size": 128, "d_in": 32, "d_sae": 64, "dtype": "torch.float32",
    "device": "cpu", "expansion_factor": 2, "l1_coefficient": 8e-05, "use_ghost_grads": False,
}  # fmt: skip
"""The release's files are of early 2024; SAELens's registry adds that its model's writing weights are centred."""


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    tiny.model(root / "model", scale=8.0)
    tiny.sae(root / "saes" / "layer_1" / "width_64", "jumprelu", bias=-0.3)
    (root / "saes" / "layer_1" / "notes.bin").write_bytes(b"x" * 4096)
    tiny.sae(root / "flat", bias=-0.3)
    released = tiny.sae(root / "release" / "blocks.1.hook_resid_pre", bias=-0.3, seed=4)
    (released / "cfg.json").write_text(json.dumps(OLD))
    names = {
        "org/tiny": "model", "gpt2": "model", "openai-community/gpt2": "model", "org/saes": "saes", "org/flat": "flat",
        RELEASE: "release",
    }  # fmt: skip
    return {name: root / folder for name, folder in names.items()}


def run(hub, folder, config, *, offline=False):
    """`python -m core build` with the hub's address; (exit status, what it said)."""
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(4)), encoding="utf-8")
    environment = os.environ | hub.environment(folder / "home") | {"OMP_NUM_THREADS": "1"}
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    command = [sys.executable, "-m", "core", "build", str(folder / "build.yaml"), "--data", str(folder / "data")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout + done.stderr


def config(*sources, **model):
    return {
        "model": {"id": "tiny", **(model or {"hub": "org/tiny"})}, "sources": list(sources),
        "dataset": {"path": "texts.txt"}, "context": 16,
    }  # fmt: skip


def test_models_saes_and_releases_by_name(repositories, tmp_path):
    """The same numbers as from folders; nothing but what is needed is fetched; and once is enough."""
    asked = config(
        {"id": "1-a", "sae": {"hub": "org/saes", "folder": "layer_1/width_64"}},
        {"id": "1-b", "sae": {"hub": "org/flat"}},
        {"id": "1-c", "sae": {"release": "gpt2-small-res-jb", "sae_id": "blocks.1.hook_resid_pre"}},
    )
    with Hub(repositories) as hub:
        status, said = run(hub, tmp_path, asked)
        assert status == 0, said
        assert not any("notes.bin" in path for path in hub.asked)
        shutil.rmtree(tmp_path / "data")
    status, said = run(hub, tmp_path, asked, offline=True)
    assert status == 0, f"and from the cache without the hub: {said}"
    local = tmp_path / "local"
    local.mkdir()
    places = {
        "1-a": repositories["org/saes"] / "layer_1" / "width_64", "1-b": repositories["org/flat"],
        "1-c": repositories[RELEASE] / "blocks.1.hook_resid_pre",
    }  # fmt: skip
    shutil.copytree(places["1-c"], local / "c")
    said = OLD | {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    (local / "c" / "cfg.json").write_text(json.dumps(said))
    shutil.copytree(places["1-c"], local / "d")  # which does not say so
    places |= {"1-c": local / "c", "1-d": local / "d"}
    folders = [{"id": name, "sae": {"path": str(place)}} for name, place in places.items()]
    shutil.copy(tmp_path / "texts.txt", local)
    (local / "build.yaml").write_text(yaml.safe_dump(config(*folders, path=str(repositories["org/tiny"]))))
    Workbench(Settings(data=local / "data", demo=None)).build(local / "build.yaml")
    fetched, own = (Workbench(Settings(data=p / "data", demo=None)) for p in (tmp_path, local))
    plain, centred = (own.source(f"tiny/1-{name}") for name in "dc")
    del places["1-d"]
    assert any(own.feature(f"{plain.key}/{i}").mean != own.feature(f"{centred.key}/{i}").mean for i in range(0, 64, 9))
    for name in places:
        for i in range(0, 64, 9):
            a, b = (bench.feature(f"tiny/{name}/{i}") for bench in (fetched, own))
            np.testing.assert_allclose([a.maximum, a.active, a.mean], [b.maximum, b.active, b.mean], rtol=1e-6)
    assert fetched.source("tiny/1-a").origin == "org/saes/layer_1/width_64"
    assert fetched.source("tiny/1-c").origin == "SAELens gpt2-small-res-jb/blocks.1.hook_resid_pre"
    assert fetched.model("tiny").origin == "org/tiny"


NAMED = {"release": "gpt2-small-res-jb", "sae_id": "blocks.1.hook_resid_pre"}
ASKED = [
    ({"transformer_lens": "gpt2-small"}, NAMED, r"^built$"),
    ({"transformer_lens": "gpt3-tiny"}, NAMED, r"^The model tiny \(gpt3-tiny\) cannot be loaded: .*gpt3-tiny"),
    ({"hub": "org/none"}, {"hub": "org/flat"}, r"org/none"),
    ({"hub": "org/tiny", "revision": "v9"}, {"hub": "org/flat"}, r"org/tiny@v9"),
    (
        {"hub": "org/tiny"},
        {"hub": "org/none"},
        r"sources\.0: The SAE org/none cannot be loaded: the hub has no org/none",
    ),
    ({"hub": "org/tiny"}, {"hub": "org/flat", "revision": "v9"}, r"sources\.0: .*the hub has no org/flat@v9"),
    ({"hub": "org/tiny"}, {"hub": "org/saes", "folder": "layer_7"}, r"sources\.0: .*org/saes has no layer_7/cfg\.json"),
    ({"hub": "org/tiny"}, {"release": "no-such", "sae_id": "x"}, r"SAELens no-such/x cannot be loaded.*no-such"),
    ({"hub": "org/tiny"}, {"release": "gpt2-small-res-jb", "sae_id": "x"}, r"cannot be loaded.*ID x not found"),
]


def test_names_of_transformer_lens_and_what_is_not_there(repositories, tmp_path):
    """All in one process, which has the hub's address from its beginning; a refusal is one line."""
    program = """
import json, sys
from pathlib import Path
from core.errors import WorkbenchError
from core.settings import Settings
from core.workbench import Workbench
said = []
for path in sys.argv[1:]:
    try:
        Workbench(Settings(data=Path(path).parent / "data", demo=None)).build(Path(path))
        said.append("built")
    except WorkbenchError as error:
        said.append(str(error))
print(json.dumps(said))
"""
    paths = []
    (tmp_path / "texts.txt").write_text("a b c", encoding="utf-8")
    for n, (model, sae, _) in enumerate(ASKED):
        paths.append(tmp_path / f"{n}.yaml")
        paths[-1].write_text(yaml.safe_dump(config({"id": "1-a", "sae": sae}, **model)))
    with Hub(repositories) as hub:
        environment = os.environ | hub.environment(tmp_path / "home") | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", program, *map(str, paths)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for one, (_, _, message) in zip(said, ASKED, strict=True):
        assert re.search(message, one) and "\n" not in one, (message, one)
    assert [p.name for p in (tmp_path / "data" / "tiny").iterdir() if p.is_dir()] == ["1-a"], "of the first"
