"""One test suite: /suite?id=…; or a new one of a feature: /suite?feature=<model>/<source>/<index>&defaulttesttext=…."""

import streamlit as st

from components import controls, suites

id, feature = controls.suite()
if id:
    suites.page(id)
elif feature is not None:
    st.set_page_config(page_title=f"New test suite · {feature} · Featurescope")
    suites.new(feature)
