"""The tester's endpoints, as a program calls them: from gradio_client and as MCP tools, against a real server."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
import uvicorn
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from api import server as api
from api.pace import Counter, TooMany
from components.jobs import FAULT
from core.errors import Busy
from core.records import Step
from core.settings import Settings
from core.workbench import Workbench
from embeds import server
from embeds import tester as tester_blocks
from tests import tiny
from tests.live import Server, free_port

TEXT = "It’s Paris 🙂"
FEATURE = f"{tiny.SAE}/3"
BAD = [
    ("", TEXT, "does not name a feature"),
    ("nonsense", TEXT, "no source “nonsense”"),
    (tiny.SAE, TEXT, "A feature has an index too"),
    (f"{tiny.SAE}/64", TEXT, "features 0 to 63"),
    ("nobody/1-res/3", TEXT, "is not here"),
    ("<script>alert(1)</script>/1-x/2", TEXT, "."),
    (FEATURE, "", "empty"),
    (FEATURE, "   ", "empty"),
    (FEATURE, "x" * 10_001, "too long"),
    (FEATURE, "word " * 600, "reads at most"),
]


@pytest.fixture(scope="module")
def tester(live: Server) -> Client:
    live.get("/embed/tester/")  # imports Gradio, for which a client has less patience
    return Client(live.url + "/embed/tester/", verbose=False)


def test_a_test_is_the_workbenchs_own(tester, bench):
    found = tester.predict(FEATURE, TEXT, api_name="/test")
    (record,) = bench.test(FEATURE, TEXT)
    skip = int(record.bos)
    assert "".join(found["tokens"]) == TEXT
    assert found["values"] == pytest.approx(list(record.values[skip:]), abs=1e-5)
    assert found["maxValue"] == pytest.approx(record.maximum, abs=1e-5)
    assert (found["modelId"], found["layer"], found["index"]) == ("tiny", "1-res", "3")
    assert tester.predict(id="1-res:3", text=TEXT, api_name="/test") == found, "by name, and in other forms of an id"


def test_what_a_feature_is(tester, record):
    found = tester.predict(id=FEATURE, api_name="/feature")
    assert found == {
        "id": FEATURE,
        "label": record.label,
        "density": pytest.approx(record.density),
        "maximum": pytest.approx(record.maximum),
        "kind": "sae",
        "hook": record.source.hook,
        "promotes": [one.token.text for one in record.top_logits[:10]],
        "suppresses": [one.token.text for one in record.bottom_logits[:10]],
        "testable": True,
    }


@pytest.mark.parametrize(("identity", "text", "says"), BAD)
def test_bad_input_gets_a_message(tester, identity, text, says):
    with pytest.raises(AppError, match=says) as told:
        tester.predict(identity, text, api_name="/test")
    assert "Traceback" not in str(told.value)


@pytest.mark.parametrize("body", ['{"data": ["\\ud800/1-res/3", "x"]}', '{"data": ["' + FEATURE + '", "a \\udfff"]}'])
def test_half_a_surrogate_pair_is_no_crash(live, body):
    found = httpx.post(live.url + "/embed/tester/gradio_api/run/test", content=body, timeout=60)
    assert found.status_code == 422 and "Traceback" not in found.text


def test_the_endpoints_are_named_and_described(live, tester):
    described = tester.view_api(return_format="dict")
    assert set(described["named_endpoints"]) == {"/test", "/feature"} and not described["unnamed_endpoints"]
    names = {end: [p["parameter_name"] for p in one["parameters"]] for end, one in described["named_endpoints"].items()}
    assert names == {"/test": ["id", "text"], "/feature": ["id"]}
    told = live.get("/embed/tester/gradio_api/info").json()["named_endpoints"]
    assert "one feature's value at every token" in told["/test"]["description"]
    assert "what a feature is" in told["/feature"]["description"]


def mcp(url: str, *calls: tuple[str, dict[str, object]], name: str = "tester", **headers: str):
    """(tools by name, what each call answers) of a real client."""

    async def go():
        async with streamablehttp_client(f"{url}/{name}/gradio_api/mcp/", headers=headers) as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                tools = {tool.name: tool for tool in (await session.list_tools()).tools}
                return tools, [await session.call_tool(name, given) for name, given in calls]

    return asyncio.run(go())


def test_they_are_mcp_tools(live, tester):
    calls = ("test", {"id": FEATURE, "text": TEXT}), ("feature", {"id": FEATURE})
    tools, (found, feature) = mcp(live.url + "/embed", *calls)
    assert set(tools) == {"test", "feature"}
    assert "one feature's value at every token" in tools["test"].description
    assert "Neuronpedia's activation" in tools["test"].description
    schema = tools["test"].inputSchema
    assert schema["required"] == ["id", "text"]
    assert all(schema["properties"][name]["description"] for name in ("id", "text"))
    assert not found.isError
    assert json.loads(found.content[0].text) == tester.predict(FEATURE, TEXT, api_name="/test")
    assert json.loads(feature.content[0].text) == tester.predict(FEATURE, api_name="/feature")


@pytest.mark.parametrize(("identity", "text", "says"), BAD[1:8:3])
def test_a_bad_call_of_a_tool_gets_a_message(live, identity, text, says):
    _, (found,) = mcp(live.url + "/embed", ("test", {"id": identity, "text": text}))
    assert found.isError
    assert says in found.content[0].text and "Traceback" not in found.content[0].text


def test_a_tool_calls_nobody_at_an_address_that_a_request_names(live):
    """Gradio's own way for queued functions: ask itself over HTTP, at the host that the first request claimed."""
    claims = {"x-forwarded-host": "127.0.0.1:9", "x-forwarded-proto": "http"}
    for headers in (claims, {}):
        _, (found,) = mcp(live.url + "/embed", ("test", {"id": FEATURE, "text": TEXT}), **headers)
        assert not found.isError


# -- one limit --------------------------------------------------------------------------------------------------------


class Running:
    """The embeds alone on a port, in this process."""

    def __init__(self, bench: Workbench, count=lambda scope: None) -> None:
        self.app = server.create(bench, count)
        self.port = free_port()
        self._server = uvicorn.Server(uvicorn.Config(self.app, "127.0.0.1", self.port, log_level="error"))
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Running:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}/tester/", verbose=False)


@pytest.fixture
def own(tiny_root: Path) -> Iterator[Workbench]:
    yield Workbench(Settings(data=tiny_root, demo=None))


def test_the_embeds_have_no_line_of_their_own(own, monkeypatch):
    """Twelve tests all get as far as the workbench at once: where they wait is its own line, with everybody else's."""
    together = threading.Barrier(12)
    test = Workbench.test

    def meets(self, *given, **options):
        together.wait(60)
        return test(self, *given, **options)

    monkeypatch.setattr(Workbench, "test", meets)
    with Running(own) as running, ThreadPoolExecutor(12) as pool:
        client = running.client()
        asked = [pool.submit(client.predict, FEATURE, f"text {n}", api_name="/test") for n in range(12)]
        assert ["".join(one.result(90)["tokens"]) for one in asked] == [f"text {n}" for n in range(12)]


def test_nor_has_a_reader_in_a_browser_one(bench):
    (mount,) = [route for route in server.create(bench).routes if getattr(route, "path", "") == "/tester"]
    functions = mount.app.get_blocks().fns.values()
    assert {fn.api_name for fn in functions if not fn.queue} == {"test", "feature"}
    assert len(functions) == 5 and all(fn.concurrency_limit is None for fn in functions)


def test_the_pace_of_a_client_is_one_for_api_and_embeds(own):
    """On a clock that stands still, so that nothing is paid off while the tests run."""
    counter = Counter(4, clock=lambda: 1000.0)
    body = {"feature": {"modelId": "tiny", "source": "1-res", "index": "3"}, "customText": TEXT}
    with Running(own, counter) as running:
        running.app.mount("/api", api.create(own, counter))
        url = f"http://127.0.0.1:{running.port}"
        client = running.client()
        assert httpx.post(url + "/api/activation/new", json=body, timeout=60).status_code == 200
        client.predict(FEATURE, TEXT, api_name="/test")
        for _ in range(5):
            client.predict(FEATURE, api_name="/feature")  # runs no model
        assert not mcp(url, ("test", {"id": FEATURE, "text": TEXT}))[1][0].isError
        assert httpx.post(url + "/api/activation/new", json=body, timeout=60).status_code == 200
        assert httpx.post(url + "/api/activation/new", json=body, timeout=60).status_code == 429
        with pytest.raises(AppError, match=r"at most 4 a minute run a model here\. Try again in 15 seconds"):
            client.predict(FEATURE, TEXT, api_name="/test")
        _, (found,) = mcp(url, ("test", {"id": FEATURE, "text": TEXT}))
        assert found.isError and "at most 4 a minute" in found.content[0].text


def test_clients_of_an_embed_count_apart(own):
    with Running(own, Counter(1, proxies=1)) as running:
        url = f"http://127.0.0.1:{running.port}/tester/gradio_api/run/test"

        def ask(who: str) -> httpx.Response:
            return httpx.post(url, json={"data": [FEATURE, "x"]}, headers={"x-forwarded-for": who}, timeout=60)

        assert ask("203.0.113.7").status_code == 200
        assert "Too many requests" in ask("203.0.113.7").json()["error"]
        assert ask("203.0.113.8").status_code == 200


# -- what a reader is told ---------------------------------------------------------------------------------------------


def told(generator) -> list:
    """Everything that a handler of the blocks says, one after the other."""

    async def go():
        return [state async for state in generator]

    return asyncio.run(go())


def test_the_place_in_line_is_shown(own, monkeypatch):
    """Two others are before it, then none, then it is read."""
    run = Workbench.test

    def waits(self, key, text, *, tell):
        for before in (2, 1):
            tell(Step(doing="waiting", before=before))
            time.sleep(0.8)
        return run(self, key, text, tell=tell)

    monkeypatch.setattr(Workbench, "test", waits)
    said = [result for _, result in told(tester_blocks.Tester(own, lambda request: None).tested(FEATURE, TEXT, None))]
    assert "Waiting: 2 requests are before this one…" in said[0]
    assert "Waiting: 1 request is before this one…" in said[1]
    assert "fs-strip" in said[-1] and "em-max" in said[-1]


def test_what_goes_wrong_is_said_in_the_block(own, monkeypatch, caplog):
    do = tester_blocks.Tester(own, lambda request: None)
    for error, says in ((Busy("The server is busy: 9 wait."), "9 wait"), (RuntimeError("secret"), FAULT)):
        monkeypatch.setattr(Workbench, "test", Mock(side_effect=error))
        ((_, result),) = told(do.tested(FEATURE, TEXT, None))
        assert "em-note" in result and says in result and "secret" not in result
    assert "secret" in caplog.text, "the log has it"

    def too_many(request):
        raise TooMany("Too many requests: at most 4 a minute.", 5)

    ((_, result),) = told(tester_blocks.Tester(own, too_many).tested(FEATURE, TEXT, None))
    assert "at most 4 a minute" in result


def test_a_source_without_weights_shows_what_there_is(tiny_root, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    manifest = root / tiny.SAE / "source.json"
    kept = json.loads(manifest.read_text())
    kept["source"]["has"].remove("weights")
    manifest.write_text(json.dumps(kept))
    do = tester_blocks.Tester(Workbench(Settings(data=root, demo=None)), lambda request: None)
    (state,) = told(do.named(FEATURE, TEXT, None))
    head, identity, asked, _, form, result = state
    assert FEATURE in head and identity == FEATURE
    assert not asked["visible"] and not form["visible"]
    assert "came without its weights" in result and "fs-strip" in result
