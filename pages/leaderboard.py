"""All sources by how good they are: /leaderboard?models=…&kinds=…&q=…&part=probing&sort=-probing_k1&x=l0&y=kl_score."""

import streamlit as st

from components import leaderboard

st.set_page_config(page_title="Leaderboard · Featurescope")
every = leaderboard.rows()
leaderboard.draw(leaderboard.view(every), every)
