"""One feature: /feature?id=<model>/<source>/<index>&defaulttesttext=…&show=…&view=…&breaks=1."""

from functools import partial

import streamlit as st

from components import (
    controls,
    embedding,
    explanations,
    explicit,
    exporting,
    feature_panels,
    links,
    lists,
    resources,
    scan_panels,
    similar,
    suites,
    testing,
    together,
    token_strip,
)

key = controls.feature_key()
record = controls.attempt(lambda: resources.workbench().feature(key), key.source) if key else None
if record is None:
    st.stop()

show = controls.choice("show", ("diverse", "raw", "interval", "random"), "diverse")
view = controls.choice("view", ("snippet", "whole"), "snippet")

st.set_page_config(page_title=f"{record.label or 'feature'} · {record.key} · Featurescope")
breaks = st.query_params.get("breaks") == "1"
if controls.embedded():
    embedding.page(record, controls.shown(), controls.test_texts(), show=show, view=view, breaks=breaks)
else:
    st.html(feature_panels.header(record))
    row = st.container(key="fs-people", horizontal=True)
    embedding.dialog(record)
    with st.container(key="fs-body"):
        with st.container(key="fs-main"):
            st.html(feature_panels.stats(record))
            means = st.container()
            test_box = st.container(key="fs-test")
            tests_kept = st.container(key="fs-suites")
            if record.dead:
                st.html(feature_panels.dead(record))
            st.html(feature_panels.plots(record))
            if not record.dead:
                found = token_strip.examples(
                    record,
                    partial(resources.workbench().prompt, key.source),
                    show=show,
                    view=view,
                    breaks=breaks,
                    testable="weights" in record.source.has,
                    cover=explicit.hides(),
                )
                explicit.ask(there_is_some=found)
            below = st.container()
        with st.container(key="fs-side"):
            held = st.container()
            for card in (similar.of_feature(record), together.of_feature(record), feature_panels.side(record)):
                if card:  # of a feature that nothing fires with, say, there is none
                    st.html(card)
            with st.container(key="fs-export"):
                exporting.offer(record)
    with means:
        explanations.of_feature(record)
    with tests_kept:
        suites.of_feature(record)
    with test_box:  # last, since it may have to wait for the model
        testing.box(record, controls.test_texts(), controls.kept())
        if "weights" in record.source.has:
            st.html(scan_panels.way_in(record, *controls.test_texts()[:1]))
    lists.feature(key, row, held, below, links.feature(key, *controls.test_texts()))
