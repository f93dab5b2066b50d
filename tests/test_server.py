"""The composed server, as a process: pages, API, links, embeds and health on one port."""

from __future__ import annotations

import re

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests import tiny
from tests.live import Server


def test_it_answers_soon_and_says_where_it_is(live):
    assert live.get("/healthz").json() == {"status": "ok", "version": "0.1.0", "sources": 2}
    assert live.seconds < 15  # the budget is 5 s; a loaded machine is not a failure of ours, see benchmarks/pages.py


def test_the_pages_are_served(live):
    for path in ("/", "/feature", f"/feature?id={tiny.SAE}/3"):
        answer = live.get(path)
        assert answer.status_code == 200 and 'id="root"' in answer.text
    assert live.get("/_stcore/health").text == "ok"
    asset = re.search(r'src="\./(static/js/[^"]+)"', live.get("/").text)
    assert asset and live.get("/" + asset[1]).status_code == 200


def test_the_api_and_its_page_are_served(live):
    assert len(live.get("/api/catalog").json()["sources"]) == 2
    assert live.get("/api/openapi.json").json()["openapi"].startswith("3.")
    assert "Featurescope API" in live.get("/api/docs").text
    assert live.get("/api/nothing").json()["error"]


def test_links_lead_to_the_page(live):
    for path in (f"/{tiny.SAE}/3", f"/f/{tiny.SAE}/3"):
        answer = live.get(path)
        assert answer.status_code == 200 and f"url=/feature?id={tiny.SAE}/3" in answer.text
        assert httpx.head(live.url + path).status_code == 200
    assert live.get("/tiny/1-res/64").status_code == 404


def test_a_test_by_api(live):
    body = {"feature": {"modelId": "tiny", "source": "1-res", "index": "3"}, "customText": "It’s Paris"}
    answer = live.post("/api/activation/new", body)
    assert answer.status_code == 200
    assert len(answer.json()["values"]) == len(answer.json()["tokens"])


def test_the_embed_answers(live):
    """What it answers is in tests/embeds; that its queue runs, which the lifespan starts, in tests/browser."""
    assert live.get("/embed").headers["location"] == "/embed/"
    assert live.get("/embed/").status_code == 307
    page = live.get("/embed/tester/")
    assert page.status_code == 200
    assert "fonts.googleapis" not in page.text and "cdnjs" not in page.text
    client = Client(live.url + "/embed/tester/", verbose=False)
    assert "".join(client.predict(f"{tiny.SAE}/3", "It’s Paris", api_name="/test")["tokens"]) == "It’s Paris"
    with pytest.raises(AppError, match="no source “nonsense”"):
        client.predict("nonsense", "a", api_name="/test")


def test_the_streamlit_command_starts_it_too(tiny_root):
    with Server(tiny_root, ("-m", "streamlit", "run", "app.py", "--server.port={port}")) as server:
        assert server.get("/healthz").json()["sources"] == 2
        assert server.get("/_stcore/health").text == "ok"


def test_it_says_its_address_once_it_answers_and_stops_cleanly(tiny_root):
    with Server(tiny_root) as server:
        server.get("/embed/tester/")  # so that stopping has a lifespan to leave
    assert f"http://localhost:{server.port}" in server.output
    assert "Traceback" not in server.output
    assert server.process.returncode in (0, -15)


def test_a_port_in_use_is_named(live, tiny_root):
    other = Server(tiny_root)
    other._environment["PORT"] = str(live.port)
    import subprocess

    done = subprocess.run(other._command, env=other._environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"Port {live.port} is in use" in done.stderr
    assert "Traceback" not in done.stderr
