"""Leaderboards, doubted features and labels over HTTP."""

from __future__ import annotations

import json

from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.api.test_people import refused, serve


def test_play_over_http(tiny_root, tmp_path):
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root, requests_a_minute=0))
    client, people = serve(bench), bench.community.people()
    assert client.get("/play/board").json()["standings"] == [] == client.get(f"/play/doubted/{tiny.SAE}").json()
    assert client.get(f"/play/export/{tiny.SAE}").json()["rows"] == 0
    feature = FeatureKey.parse(f"{tiny.SAE}/3")
    play = people.plays.answer(feature, kind="odd", seed=1, answer={"odd": 0})
    people._visit.change("plays", {"id": play}, {"points": 6, "agreed": 1.0})
    for since in ("day", "week"):
        (line,) = client.get("/play/board", params={"since": since}).json()["standings"]
        assert line == {"user": {"name": "you"}, "points": 6, "rounds": 1, "agreement": 1.0}
    people.explanations.mark(feature, "none")
    (doubt,) = client.get(f"/play/doubted/{tiny.SAE}").json()
    assert doubt["index"] == "3" and doubt["marks"] == {"none": 1} and doubt["agreement"] == 1.0
    answer = client.get(f"/play/export/{tiny.SAE}")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/x-ndjson")
    first, *rows = map(json.loads, answer.text.splitlines())
    assert first["rows"] == len(rows) and all(row["feature"] == str(feature) for row in rows)
    for path in ("doubted", "export"):
        refused(client.get(f"/play/{path}/tiny/9-none"), 404)
        refused(client.get(f"/play/{path}/tiny/nonsense"), 400)
    refused(client.get("/play/board", params={"since": "year"}), 400)
