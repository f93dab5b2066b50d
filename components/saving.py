"""“Save”: a view's address is kept under a name, to be found again on one's own page, and shared there if one likes.

An address says everything that a view depends on, so that what is kept is a link. A fragment: saving redraws the button
and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from uuid import uuid4

import streamlit as st

from components import links, markup, people
from components.markup import note
from core.community import limits
from core.community.deeds import Deed
from core.errors import WorkbenchError

SEEN = ("private", "public")


def offer(link: str, name: str, *, address: Callable[[], str] | None = None, help: str = "") -> None:
    """Draw the button of the view at `link`; `name` is what it is called unless the person says otherwise.

    `address` gives another address to be kept, once somebody saves, where making it costs something.
    """
    if people.kept():
        mark = hashlib.sha256(link.encode()).hexdigest()[:16]
        with st.container(key=f"fs-save-{mark}"):
            _offer(link, name, address, mark, help)


@st.fragment
def _offer(link: str, name: str, address: Callable[[], str] | None, mark: str, about: str) -> None:
    version = st.session_state.setdefault(f"save-{mark}", str(uuid4()))
    with st.popover("Save", help=about or None), st.form(f"save-form-{mark}", border=False):
        said = st.text_input("Keep this view as", " ".join(name.split())[:80], max_chars=limits.SAVED_NAME)
        seen = st.segmented_control(
            "Who sees it", SEEN, default="private", required=True,
            help="Private: only you, on your page. Public: everybody who looks at your page.",
        )  # fmt: skip
        sent = st.form_submit_button("Save", type="primary")
    if not sent:
        return
    try:
        kept = address() if address else link
    except WorkbenchError as error:
        st.html(note(str(error)))
        return
    deed = Deed("save", "", {"link": kept, "name": said, "visibility": seen or "private"}, version)
    if people.do(deed, link, for_what="keep this view"):
        st.session_state[f"save-{mark}"] = str(uuid4())
        way = markup.link(links.page("person"), "to your page", "fs-act")
        st.html(f'<span class="fs-soft fs-small" role="status">Saved ✓ {way}</span>')
