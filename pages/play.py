"""Play: /play?round=<kind>/<feature>/<seed>, or ?seed=…, ?daily=…; &campaign=<id>&view=advanced."""

import streamlit as st

from components import controls, play

st.set_page_config(page_title="Play · Featurescope")
if asked := controls.play():
    play.page(asked)
