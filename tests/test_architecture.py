"""The house's one direction: pages draw what core knows, and core knows nothing of pages.

Read from the source text, so that an import inside a function counts too; and once from a running process, so that a
library that brings torch along is noticed.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import tiny
from tests.live import python

ROOT = Path(__file__).resolve().parent.parent
ABOVE = {"streamlit", "gradio", "gradio_client", "fastapi", "starlette", "uvicorn", "plotly", "altair"}
HEAVY = {"torch", "transformers", "transformer_lens", "sae_lens", "safetensors", "datasets"}

BANNED = {
    "core": ABOVE | {"pages", "components", "embeds", "api", "app", "demo", "tests", "benchmarks"},
    "components": HEAVY | {"pages", "embeds", "api", "app", "demo", "gradio", "fastapi", "tests"},
    "api": HEAVY | {"pages", "components", "embeds", "app", "demo", "streamlit", "gradio", "tests"},
    "embeds": HEAVY | {"pages", "api", "app", "demo", "streamlit", "tests"},
    "pages": HEAVY | {"pages", "embeds", "api", "app", "demo", "gradio", "fastapi", "tests"},
}
PAGES_MAY_ASK = {
    "core.errors", "core.records", "core.workbench", "core.settings", "core.interchange", "core.process",
    # of people's part: its records, and what `Workbench.community` gives, never a store
    "core.community.records", "core.community.limits", "core.community.deeds", "core.community.people",
    "core.community.markdown", "core.community.explicit", "core.community.suites", "core.community.back",
    "core.community.notes", "core.community.alike",
    # of the atlas: its records; what computes is behind `Workbench.atlas`
    "core.atlas.near.records", "core.atlas.together.records", "core.atlas.universal.records",
    # of adding sources: its records; what looks, tries and builds is behind `Workbench.bring`
    "core.bring.records",
    # of quality: its records; what measures is behind `Workbench.quality`
    "core.evaluate.records", "core.evaluate.board",
    # of circuits: their records; what computes is behind `Workbench.circuits`
    "core.techniques.circuits.records", "core.techniques.pairs.records",
    "core.techniques.templates.records",
    # of attribution graphs: their records; what computes is behind `Workbench.graphs`
    "core.techniques.graphs.records",
    # of heads: their records; what computes is behind `Workbench.heads`
    "core.techniques.heads.records",
    # of probes: their records; what trains is behind `Workbench.train_probe`
    "core.sources.probe_records",
    # of words: its records; what computes is behind `Workbench.words`
    "core.explain.records", "core.explain.play.records", "core.explain.annotation.figures",
    "core.explain.redteam.records", "core.explain.redteam.hypothesis",
}  # fmt: skip
PAGE_LINES = 110


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file; relative imports are not used in this house."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import from the root"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("folder", BANNED)
def test_imports_go_one_way(folder):
    wrong = {
        str(path.relative_to(ROOT)): bad
        for path in files(folder)
        if (bad := {name for name in imports(path) if name.split(".")[0] in BANNED[folder]})
    }
    assert not wrong


@pytest.mark.parametrize("folder", ["pages", "components"])
def test_pages_ask_only_the_front_door(folder):
    for path in files(folder):
        asked = {name for name in imports(path) if name.split(".")[0] == "core" and name != "core.__version__"}
        beyond = {name for name in asked if not any(name == may or name.startswith(f"{may}.") for may in PAGES_MAY_ASK)}
        assert not beyond, path


def test_pages_are_short():
    long = {path.name: lines for path in files("pages") if (lines := len(path.read_text().splitlines())) > PAGE_LINES}
    assert not long


def test_every_module_says_what_it_is():
    bare = [
        str(path.relative_to(ROOT))
        for folder in ("core", "api", "embeds", "components", "pages", "benchmarks", "demo")
        for path in files(folder)
        if (text := path.read_text(encoding="utf-8")) and not ast.get_docstring(ast.parse(text))
    ]
    assert not bare


def test_browsing_imports_no_torch(tiny_root):
    code = f"""
import sys
from core.workbench import Workbench
bench = Workbench()
bench.models(), bench.releases(), bench.sources()
bench.feature("{tiny.SAE}/3"), bench.features("{tiny.SAE}"), bench.densities("{tiny.SAE}"), bench.random_feature()
bench.resolve("{tiny.SAE}/3")
assert not {HEAVY} & set(sys.modules), {HEAVY} & set(sys.modules)
"""
    python(code, FEATURESCOPE_DATA=str(tiny_root), FEATURESCOPE_DEMO="")


def test_serving_pages_and_api_imports_neither_torch_nor_gradio(tiny_root):
    """The server in this process, every page of it drawn, the API read and a link followed."""
    code = f"""
import sys
from pathlib import Path
from starlette.testclient import TestClient
import app
with TestClient(app.app) as client:
    for path in "/healthz /api/catalog /api/feature/{tiny.SAE}/3 /f/{tiny.SAE}/3 /{tiny.SAE}/3 /feature /".split():
        assert client.get(path, follow_redirects=False).status_code == 200, path
from streamlit.testing.v1 import AppTest
page = AppTest.from_file(str(Path("pages/_router.py").resolve()), default_timeout=60)
page.run()
assert not page.exception, page.exception
page.switch_page("feature.py")
page.query_params["id"] = "{tiny.SAE}/3"
page.run()
assert not page.exception, page.exception
assert any("{tiny.SAE}/3" in str(element.proto) for element in page.get("html"))
assert not {HEAVY | {"gradio"}} & set(sys.modules), {HEAVY | {"gradio"}} & set(sys.modules)
"""
    python(code, FEATURESCOPE_DATA=str(tiny_root), FEATURESCOPE_DEMO="")


def test_the_process_has_one_workbench():
    from components import resources
    from core import process

    assert resources.workbench() is process.workbench()
