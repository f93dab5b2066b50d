"""The server's own model on a workbench that others reach: so often a day and person, in every process alike."""

from __future__ import annotations

import pytest

from core.community.people import People
from core.errors import NotAllowed, NotSignedIn
from core.settings import Settings
from core.workbench import Workbench
from tests.core.community.conftest import tokens

OWN = {"llm": "judge", "llm_url": "http://127.0.0.1:9/v1", "llm_for_all": True, "llm_a_day": 3, "host": "0.0.0.0"}


def test_so_often_a_day_whichever_process_is_asked(tiny_root, tmp_path):
    benches = [Workbench(Settings(data=tmp_path, demo=tiny_root, **OWN)) for _ in range(2)]
    for left, bench in zip((3, 2, 1), [*benches, benches[0]], strict=True):
        people = bench.community.people()
        assert {one.words.machines.left(people) for one in benches} == {left}
        assert bench.words.machines.visitor(people).model == "judge"
    for bench in benches:
        assert bench.words.machines.left(bench.community.people()) == 0
        with pytest.raises(NotAllowed, match=r"You had 3 explanations and scores .* come back after midnight UTC"):
            bench.words.machines.visitor(bench.community.people())
    assert benches[0].words.machines.visitor(people, "m", "https://api.openai.com/v1", "sk-own").key == "sk-own"


def test_each_person_of_a_shared_workbench_has_a_day_of_their_own(tiny_root, tmp_path, stack, monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", stack.url)
    monkeypatch.setenv("SUPABASE_KEY", stack.keys.publishable)
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root, **OWN))
    machines, store = bench.words.machines, bench.community.community
    anna, bert = (People(store, store.visit(tokens(stack, name))) for name in ("anna", "bert"))
    for _ in range(3):
        machines.visitor(anna)
    with pytest.raises(NotAllowed, match="You had 3"):
        machines.visitor(anna)
    assert (machines.left(anna), machines.left(bert)) == (0, 3)
    nobody = People(store, store.visit())
    assert machines.left(nobody) == 3
    with pytest.raises(NotSignedIn, match="Sign in to ask with the server's key"):
        machines.visitor(nobody)
