"""Each kind of Space, written and started from its own folder: used by a program, within a free Space's bounds."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from core.records import SteerAsk
from core.workbench import Workbench
from tests.spaces import FEATURE, PROMPT, TEXT, Space, dockerfile, listing, stand_in

LARGEST, MOST_MEMORY = 200 * 2**20, 4 * 2**30
"""Bytes of a Space of the demo and of its process at most; a free one has 50 GB of disk and 16 GB of memory."""


@pytest.fixture
def bench(spaces) -> Workbench:
    """The demo."""
    return spaces.bench


@pytest.fixture
def tester(spaces) -> Space:
    return spaces("tester")


@pytest.fixture
def steer(spaces) -> Space:
    return spaces("steer")


@pytest.fixture
def workbench(spaces) -> Space:
    return spaces("workbench")


def fits(space: Space) -> None:
    assert sum(path.stat().st_size for path in space.folder.rglob("*") if path.is_file()) < LARGEST
    if sys.platform == "linux":
        assert 50 * 2**20 < space.most_memory() < MOST_MEMORY


def test_the_tester_from_a_program(tester, bench):
    client = Client(tester.url, verbose=False)
    found = client.predict(id=FEATURE, text=TEXT, api_name="/test")
    (record,) = bench.test(FEATURE, TEXT)
    assert found["values"] == pytest.approx(list(record.values[record.bos :]), abs=1e-4)
    assert client.predict(id="2-res:78", api_name="/feature")["label"] == bench.feature(FEATURE).label
    with pytest.raises(AppError, match=r"is not here|has no source"):
        client.predict(id="scribe-4l/3-res/1", text=TEXT, api_name="/test")
    tester.stands_alone()
    fits(tester)


def test_the_steering_from_a_program(steer, bench):
    """With the variables that a Space sets."""
    client = Client(steer.url, verbose=False)
    found = client.predict(id=FEATURE, prompt=PROMPT, strength="30", length=12, api_name="/steer")
    record = bench.steer(SteerAsk.of("scribe-4l", PROMPT, {FEATURE: 30.0}, length=12))
    assert (found["STEERED"], found["DEFAULT"]) == (record.steered.text, record.default.text)
    with pytest.raises(AppError, match="features 0 to 2047"):
        client.predict(id="scribe-4l/2-res/9999", prompt=PROMPT, api_name="/steer")
    steer.stands_alone()
    fits(steer)


def test_its_tools_for_agents(steer):
    async def go():
        async with streamablehttp_client(steer.url + "/gradio_api/mcp/") as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                tools = {tool.name for tool in (await session.list_tools()).tools}
                given = {"id": FEATURE, "prompt": PROMPT, "strength": "30", "length": 4}
                return tools, await session.call_tool(next(iter(tools)), given)

    tools, found = asyncio.run(go())
    assert len(tools) == 1 and next(iter(tools)).endswith("steer")
    assert not found.isError and json.loads(found.content[0].text)["STEERED"]


def test_its_page_says_what_it_is_and_closes_what_nobody_needs(tester, steer):
    assert "<title>mother · girl · father · scribe-4l/2-res/78</title>" in httpx.get(tester.url).text
    assert "<title>Steering: mother · girl · father</title>" in httpx.get(steer.url).text
    for space in (tester, steer):
        assert httpx.post(space.url + "/gradio_api/upload").status_code == 404
        assert httpx.get(space.url + "/gradio_api/file=/etc/passwd").status_code == 404
        assert "frame-ancestors" not in httpx.get(space.url).headers.get("content-security-policy", "")


def test_the_workbench_from_a_program(workbench, bench):
    """With what its Dockerfile sets, and from a folder of which it writes nothing."""
    catalog = httpx.get(workbench.url + "/api/catalog").json()["sources"]
    assert {(one["modelId"], one["sourceId"]) for one in catalog} == {
        ("scribe-4l", "2-res"),
        ("scribe-4l", "1-neurons"),
    }
    body = {"feature": {"modelId": "scribe-4l", "source": "2-res", "index": "78"}, "customText": TEXT}
    found = httpx.post(workbench.url + "/api/activation/new", json=body, timeout=120).json()
    (record,) = bench.test(FEATURE, TEXT)
    assert found["values"] == pytest.approx(list(record.values[record.bos :]), abs=1e-4)
    for path in ("/", f"/feature?id={FEATURE}", "/steer", "/embed/tester/", "/embed/steer/", "/api/docs"):
        assert httpx.get(workbench.url + path, timeout=120).status_code == 200, path
    client = Client(workbench.url + "/embed/steer/", verbose=False)
    assert client.predict(id=FEATURE, prompt=PROMPT, strength="30", length=4, api_name="/steer")["STEERED"]
    workbench.stands_alone()
    fits(workbench)


def test_the_workbench_may_be_framed_by_the_hub_alone(workbench):
    policy = httpx.get(workbench.url + "/").headers["content-security-policy"]
    assert policy == "frame-ancestors https://huggingface.co https://*.hf.space"


def test_behind_the_hubs_proxy_its_pages_may_open_their_socket(workbench):
    """The proxy hands on the Space's own name as the host; a page elsewhere is refused, as without a proxy."""

    def opens(origin: str) -> bool:
        plain = socket.create_connection(("127.0.0.1", workbench.port), timeout=30)
        try:
            with connect("ws://someone-name.hf.space/_stcore/stream", sock=plain, origin=origin, open_timeout=30):
                return True
        except InvalidStatus:
            return False

    assert opens("https://someone-name.hf.space")
    assert not opens("https://elsewhere.example")


def test_what_its_dockerfile_runs_can_be_run(workbench, tmp_path):
    """Without Docker: byte code is compiled, and the health check finds the server that the command starts."""
    instructions = dockerfile(workbench.folder)
    last = instructions[max(n for n, (word, _) in enumerate(instructions) if word == "FROM") :]
    (compiled,) = [json.loads(rest) for word, rest in last if word == "RUN" and rest.startswith("[")]
    assert compiled[1:4] == ["-m", "compileall", "-q"]
    shutil.copytree(workbench.folder, tmp_path / "app")
    environment = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    assert subprocess.run([sys.executable, *compiled[1:]], cwd=tmp_path / "app", env=environment).returncode == 0
    health = next(rest for word, rest in last if word == "HEALTHCHECK")
    ask = json.loads(health[health.index("CMD") + 3 :])
    assert subprocess.run([sys.executable, *ask[1:]], env={"PORT": str(workbench.port)}).returncode == 0
    assert json.loads(next(rest for word, rest in last if word == "CMD")) == ["python", "app.py"]


# -- ZeroGPU -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "call", "given", "long"),
    [
        (
            "steer",
            "/steer",
            {"id": FEATURE, "prompt": PROMPT, "strength": "30", "length": 6},
            {"prompt": "word " * 999},
        ),
        ("tester", "/test", {"id": FEATURE, "text": TEXT}, {"text": "word " * 999}),
    ],
)
def test_on_zerogpu_the_model_runs_in_the_process_that_has_the_card(spaces, tmp_path, app, call, given, long):
    """With a stand-in for Hugging Face's package; there is no card here, so that process takes the processor."""
    zero = stand_in(tmp_path) | {"SPACES_ZERO_GPU": "true", "FEATURESCOPE_DEVICE": "cpu"}
    zero["NUMBA_CACHE_DIR"] = spaces(app).environment["NUMBA_CACHE_DIR"]  # what was compiled for this folder
    with Space(spaces(app).folder, tmp_path / "work", **zero) as there:
        client = Client(there.url, verbose=False)
        for _ in range(2):
            found = client.predict(**given, api_name=call)
        with pytest.raises(AppError, match="reads at most"):
            client.predict(**given | long, api_name=call)
        assert not {"torch", "transformers"} & set(there.modules()), "the process that serves never loads the model"
    if app == "steer":
        record = spaces.bench.steer(SteerAsk.of("scribe-4l", PROMPT, {FEATURE: 30.0}, length=6))
        assert (found["STEERED"], found["DEFAULT"]) == (record.steered.text, record.default.text)
    else:
        assert found["maxValue"] == pytest.approx(spaces.bench.test(FEATURE, TEXT)[0].maximum, abs=1e-4)
    said = Path(zero["SAID"]).read_text().splitlines()
    assert said == [f"{'steering' if app == 'steer' else 'test'} True"] * 3, (
        "whose call it is goes along, for their quota"
    )


def test_elsewhere_the_same_package_changes_nothing(tester):
    assert Client(tester.url, verbose=False).predict(id=FEATURE, text=TEXT, api_name="/test")["maxValue"] > 1
    assert {"torch", "spaces"} <= set(tester.modules())
    assert not Path(tester.environment["SAID"]).exists()


def test_nothing_is_left_in_a_space_that_ran(tester):
    assert listing(tester.folder) == tester.before
    assert not re.search("Traceback", (tester.work / "log").read_text())
