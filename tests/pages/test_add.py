"""The page of adding sources in every state, through the router; what others wrote is text there."""

from __future__ import annotations

import fcntl
import json
import time

import pytest
import streamlit as st

from components import resources
from core.bring import worker
from core.bring.progress import write
from core.bring.records import Place, Plan
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

TRIED = {
    "source": "pocket/1-res-mirror", "verdict": "doubtful", "said": ["<b>32</b> of 64."], "tokens": 713, "l0": 32.0,
    "explained_variance": 0.9, "ce_loss_score": 0.8, "ce_loss": 1.0, "ce_loss_spliced": 1.0, "ce_loss_zero": 2.0,
    "width": 64, "published": {"l0": 30.0, "by": "its <i>file</i>"},
}  # fmt: skip


@pytest.fixture
def bench(tiny_root, tmp_path, monkeypatch):
    tiny.model(tmp_path / "incoming" / "pocket")
    tiny.identity(tmp_path / "incoming" / "mirror", model="pocket")
    made = Workbench(Settings(data=tmp_path, demo=tiny_root))
    monkeypatch.setattr(resources, "workbench", lambda: made)
    monkeypatch.setattr(worker, "begin", lambda root: None)
    st.cache_data.clear()
    return made


@pytest.fixture
def job(bench):
    """Of an SAE that does not say of which model it is."""
    path = bench.settings.data / "incoming" / "mirror" / "cfg.json"
    config = json.loads(path.read_text())
    del config["metadata"]["model_name"]
    path.write_text(json.dumps(config))
    return bench.bring.begin(Place(where="folder", path="mirror"))


@pytest.fixture
def planned(bench, job):
    return bench.bring.change(job.id, Plan(model=str(bench.settings.data / "incoming" / "pocket"), prompts=60))


def labels(app):
    return [button.label for button in app.button]


def test_it_asks_where_it_is_and_shows_what_is_on_its_way(bench, planned):
    app = visit("add.py")
    assert "On their way" in html(app) and "1-res-mirror" in html(app) and not notes(app)
    assert "Look at it" in labels(app)


def test_a_folder_is_looked_at_and_becomes_a_job(bench):
    app = visit("add.py")
    app.segmented_control(key="add-where").set_value("folder").run()
    app.selectbox(key="add-folder").set_value(str(bench.settings.data / "incoming" / "mirror")).run()
    app.button(key="add-look").click().run()
    end = time.monotonic() + 60
    while not app.query_params.get("job"):
        assert time.monotonic() < end and not app.exception
        app.run()
    assert "blocks.1.hook_resid_pre" in html(app) and len(bench.bring.jobs()) == 1


def test_what_is_not_there_is_said_where_it_was_asked(bench):
    app = visit("add.py")
    app.segmented_control(key="add-where").set_value("hub").run()
    app.text_input(key="add-hub").set_value("<script>").run()
    app.button(key="add-look").click().run()
    for _ in range(40):
        if notes(app):
            break
        time.sleep(0.2)
        app.run()
    assert "&lt;script&gt;" in notes(app) and "org/name" in notes(app) and not bench.bring.jobs()


def test_what_is_missing_is_asked_for_and_then_it_goes_on(bench, job):
    app = visit("add.py", job=job.id)
    assert "still to be said" in notes(app)
    assert all(button.disabled for button in app.button if button.key in ("add-check", "add-build"))
    app.text_input(key=f"add-{job.id}-model").set_value("/etc").run()
    app.button(key=f"add-{job.id}-take").click().run()
    assert "FEATURESCOPE_INCOMING" in notes(app)
    app.text_input(key=f"add-{job.id}-model").set_value(str(bench.settings.data / "incoming" / "pocket")).run()
    app.button(key=f"add-{job.id}-take").click().run()
    assert "prompts: 2400" in html(app) and not notes(app)
    app.button(key="add-check").click().run()
    assert "Waiting: it is next" in html(app) and labels(app)[-2:] == ["Pause", "Cancel"]
    app.button(key="add-pause").click().run()
    assert "Paused." in notes(app) and "Resume" in labels(app)
    app.button(key="add-cancel").click().run()
    assert "Cancelled." in notes(app)
    app.button(key="add-forget").click().run()
    assert "job" not in app.query_params and not bench.bring.jobs()


def test_a_verdict_stands_beside_what_was_published(bench, planned):
    place = bench.bring.shelf.get(planned.id)
    write(place.progress("check"), {"for": 1, "state": "done", "answer": TRIED, "at": 1})
    app = visit("add.py", job=planned.id)
    shown = html(app)
    assert "It works, with doubts" in shown and "&lt;b&gt;32&lt;/b&gt; of 64." in shown and "<b>32</b>" not in shown
    assert "30.0" in shown and "Build it" in labels(app)


def test_failure_interruption_and_work_are_shown(bench, planned):
    place = bench.bring.shelf.get(planned.id)
    write(place.progress("build"), {"for": 1, "state": "failed", "message": "no <b>room</b>", "at": 1})
    place.log.write_text("<script>alert(1)</script>")
    app = visit("add.py", job=planned.id)
    assert "no &lt;b&gt;room&lt;/b&gt;" in notes(app) and "Try again" in labels(app)
    assert "<script>alert(1)" not in html(app) and "&lt;script&gt;alert(1)" in html(app)
    write(place.progress("build"), {"for": 1, "state": "running", "at": 1})
    assert "Its process is gone" in notes(visit("add.py", job=planned.id))
    with (place.path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place.want("build")
        told = {"for": place.wanted()[1], "state": "running", "what": "running the model", "done": 5, "of": 20,
                "rate": 1.0, "at": 2}  # fmt: skip
        write(place.progress("build"), told)
        app = visit("add.py", job=planned.id)
        assert "Running the model: 5 of 20, 15 s left" in html(app) and "How it is built" not in app.expander
        assert "fs-meter" in html(visit("add.py")), "in the list too"


def test_what_was_built_is_one_click_away(bench, planned):
    place = bench.bring.shelf.get(planned.id)
    write(place.progress("build"), {"for": 1, "state": "done", "answer": {"built": ["tiny/1-res"]}, "at": 1})
    app = visit("add.py", job=planned.id)
    assert 'href="/feature?random=tiny/1-res"' in html(app) and labels(app) == ["Remove from the list"]


def test_an_unknown_job_falls_back_with_a_message(bench):
    app = visit("add.py", job="<b>x</b>")
    assert "&lt;b&gt;x&lt;/b&gt;" in notes(app) and "Look at it" in labels(app)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"HOST": "0.0.0.0"}, "FEATURESCOPE_ADMINISTRATORS=*"), ({"people": "none"}, "nobody adds sources by page")],
)
def test_whoever_may_not_sees_why_and_nothing_else(bench, job, monkeypatch, options, says):
    closed = Workbench(Settings(data=bench.settings.data, demo=None, **options))
    monkeypatch.setattr(resources, "workbench", lambda: closed)
    for query in ({}, {"job": job.id}):
        app = visit("add.py", **query)
        assert says in html(app) and not app.button and "mirror" not in html(app)


def test_the_home_page_and_the_menu_lead_there(bench):
    shown = html(visit("home.py"))
    assert shown.count('href="/add"') >= 2
