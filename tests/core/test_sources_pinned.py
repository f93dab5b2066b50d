"""A release of SAELens's is loaded at the commit that it was built from, whatever its repository has become since."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.bring import plan as planning
from core.bring.records import Look, Place, Plan
from tests import tiny
from tests.core.test_sources_hub import NAMED, OLD, RELEASE, ROOT
from tests.hub import Hub

LOAD = """
import json, sys
from core.catalog.manifest import WeightsSpec
from core.errors import WorkbenchError
from core.sources.saelens import load_sae

for more in json.loads(sys.argv[2]):
    try:
        found = load_sae(WeightsSpec(kind="sae", **json.loads(sys.argv[1]), **more), "cpu")
        print("found", json.dumps([found.sha256, found.commit]))
    except WorkbenchError as error:
        print("found", json.dumps([str(error), None]))
"""


@pytest.fixture
def repositories(tmp_path) -> dict[str, Path]:
    release(tmp_path / "release", seed=4)
    return {RELEASE: tmp_path / "release"}


def release(root: Path, seed: int) -> None:
    folder = tiny.sae(root / "blocks.1.hook_resid_pre", bias=-0.3, seed=seed)
    (folder / "cfg.json").write_text(json.dumps(OLD))


def loaded(hub: Hub, home: Path, *asked: dict) -> list[list]:
    """(the weights' hash, their commit) of the release for each thing that is asked, with an empty cache."""
    environment = os.environ | hub.environment(home) | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOAD, json.dumps(NAMED), json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line.removeprefix("found ")) for line in done.stdout.splitlines() if line.startswith("found ")]


def test_what_is_loaded_twice_is_the_same_or_refused(repositories, tmp_path):
    with Hub(repositories) as hub:
        before = hub.remember(RELEASE)
        ((weights, commit),) = loaded(hub, tmp_path / "one", {})
        assert commit == before, "it is known what was taken"
        release(repositories[RELEASE], seed=9)  # somebody writes over it
        now = hub.commit(RELEASE)
        again, named, newest, gone = loaded(
            hub, tmp_path / "two", {"commit": before}, {"revision": before}, {}, {"revision": "0" * 40}
        )
        assert again == named == [weights, before], "a manifest's commit and a configuration's revision"
        assert newest[0] != weights and newest[1] == now
        assert f"the hub has no {RELEASE}@{'0' * 40}" in gone[0]


def test_what_is_added_by_page_is_built_at_the_commit_that_was_looked_at():
    place = Place(where="registry", release=NAMED["release"], sae_id=NAMED["sae_id"], revision="a" * 40)
    look = Look(place=place, kind="sae", architecture="standard", hook="blocks.1.hook_resid_pre", layer=1, width=64,
                d_in=32)  # fmt: skip
    assert planning._sae(Plan(), look, None) == NAMED | {"revision": "a" * 40}
