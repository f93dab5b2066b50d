"""One feature: /feature?id=<model>/<source>/<index>&defaulttesttext=…&show=…&view=…&breaks=1."""

from functools import partial

import streamlit as st

from components import controls, embedding, exporting, feature_panels, resources, scan_panels, testing, token_strip

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
    embedding.dialog(record)
    with st.container(key="fs-body"):
        with st.container(key="fs-main"):
            st.html(feature_panels.stats(record))
            test_box = st.container(key="fs-test")
            if record.dead:
                st.html(feature_panels.dead(record))
            st.html(feature_panels.plots(record))
            if not record.dead:
                token_strip.examples(
                    record,
                    partial(resources.workbench().prompt, key.source),
                    show=show,
                    view=view,
                    breaks=breaks,
                    testable="weights" in record.source.has,
                )
        with st.container(key="fs-side"):
            st.html(feature_panels.side(record))
            with st.container(key="fs-export"):
                exporting.offer(record)
    with test_box:  # last, since it may have to wait for the model
        testing.box(record, controls.test_texts(), controls.kept())
        if "weights" in record.source.has:
            st.html(scan_panels.way_in(record))
