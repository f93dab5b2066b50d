"""The way in: what this is, what is here, features to begin with, and a sentence to search with."""

import streamlit as st

from components import activity, controls, meaning_panels, picks, resources, source_panels, tables
from components.links import random_feature
from components.markup import card, join, link

bench = resources.workbench()
first = controls.first_source()
st.html(
    source_panels.title(
        "See what a language model’s features respond to",
        "Write a sentence and see which features it activates, or open any feature of a sparse autoencoder: the texts "
        "that activate it, the words it promotes.",
    )
)
if first is None:
    controls.nothing()
    st.stop()

chosen = picks.features()
shelf = source_panels.others(None, bench.sources())
jump = source_panels.jump(first.key, f"Index, {first.key.source_id}:42, or a pasted link")
with st.container(key="fs-home"):
    st.html(meaning_panels.offer(meaning_panels.box()))
    st.html(
        '<div class="fs-two">'
        + card(
            source_panels.tryout(
                [(r.key, note or r.label) for r, note in chosen], resources.prompts(), first.key.model_id
            ),
            "Which features does a sentence activate?",
        )
        + card(
            f'<div class="fs-stack" style="gap:10px">{jump}<div class="fs-row">'
            f"{link(random_feature(), '⚄ A random feature', 'fs-btn')}"
            f"{link('/source', 'Browse all features', 'fs-btn')}</div>{shelf}</div>",
            "Go to a feature",
        )
        + "</div>"
    )
    st.html(
        '<h2 class="fs-h2">Features to begin with</h2><div class="fs-three">'
        + join(source_panels.featured(record, note) for record, note in chosen)
        + "</div>"
    )
    st.html(
        '<h2 class="fs-h2"><span>Models and their sources</span><a class="fs-act" href="/add">Add a source</a></h2>'
        + join(tables.model_card(m, bench.sources(model_id=m.model_id)) for m in bench.models())
    )
    activity.at_home()
