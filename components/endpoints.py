"""Which language model is to be asked, by whom: the fields of a dialog. A key stays in the visitor's session."""

from __future__ import annotations

from typing import Any

import streamlit as st

from components import people, resources
from components.markup import note
from core.errors import WorkbenchError

OTHER = "another address"
HELD = "Held in the memory of this browser session only; hosted models need one"


def ask() -> Any:
    """The model that is to be asked, as far as it is named; None, said, while it is not."""
    bench = resources.workbench()
    machines, settings = bench.words.machines, bench.settings
    urls = {f"{name} ({url})": url for name, url in machines.providers.items()}
    options = (["This server’s model"] if machines.offers() else []) + list(urls) + ([OTHER] if machines.alone else [])
    chosen = st.selectbox("Endpoint", options, key="means-endpoint", help="Anything that speaks OpenAI’s API")
    if chosen == "This server’s model":
        (left,) = people.gather(machines.left)
        if isinstance(left, int):
            said = f"{left:,} of {settings.llm_a_day:,} explanations and scores are left to you today."
            st.html(f'<p class="fs-soft fs-small">{said}</p>')
        return machines.named(settings.llm, settings.llm_url)
    url = urls.get(chosen, "")
    if chosen == OTHER:
        url = _held("url", "Address", placeholder="http://127.0.0.1:11434/v1")
    model = _held("model", "Model", placeholder=next(iter(machines.models(url)), "gpt-4.1-mini"))
    key = _held("key", "Your key", type="password", help=HELD)
    if not model or not url:
        st.html('<p class="fs-soft fs-small">Name the model to see what it would cost.</p>')
        return None
    try:
        return machines.named(model, url, key)
    except WorkbenchError as error:
        st.html(note(str(error)))
        return None


def _held(name: str, label: str, **more: str) -> str:
    """A field whose text stays for the session, also while the dialog is closed."""
    kept = f"llm-{name}"
    said = st.text_input(label, st.session_state.get(kept, ""), key=f"means-{name}", autocomplete="off", **more)
    st.session_state[kept] = (said or "").strip()
    return st.session_state[kept]


def allowed(endpoint: Any) -> Any:
    """The endpoint, if whoever looks may ask it; a message if not."""
    machines, settings = resources.workbench().words.machines, resources.workbench().settings
    own = endpoint.key or (endpoint.model, endpoint.url) != (settings.llm, settings.llm_url)
    try:
        if own:
            return machines.visitor(people.people(), endpoint.model, endpoint.url, endpoint.key)
        return machines.visitor(people.people())
    except WorkbenchError as error:
        st.html(note(str(error)))
        return None
