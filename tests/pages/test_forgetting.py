"""A session that looks at many features keeps no more of them than the last."""

from __future__ import annotations

import gc

import pytest
import streamlit as st

from components import forgetting, resources
from core.records import FeatureRecord
from tests import tiny
from tests.pages.test_pages import visit


@pytest.fixture(autouse=True)
def _bench(bench, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: bench)
    st.cache_data.clear()


def test_widgets_of_features_that_were_left_are_forgotten(monkeypatch):
    left, forget = [], forgetting.forget
    monkeypatch.setattr(forgetting, "forget", lambda: left.append(forget()))
    app = visit("feature.py", id=f"{tiny.SAE}/1")
    for index in range(2, 8):
        app.query_params["id"] = f"{tiny.SAE}/{index}"
        app.run()
        assert not app.exception
    assert min(left) >= 0, "Streamlit keeps its notes elsewhere now: see components.forgetting"
    assert left[-1] > 10, "what the last run showed is still known"
    assert left[-1] == left[-2] == left[-3]
    gc.collect()
    kept = {one.key for one in gc.get_objects() if type(one) is FeatureRecord}
    assert len({key for key in kept if str(key).startswith(tiny.SAE)}) <= 3, "of seven, the last few"


def test_outside_a_page_there_is_nothing_to_forget():
    assert forgetting.forget() == -1
