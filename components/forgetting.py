"""What a session need not remember: Streamlit's notes on widgets of pages that were left long ago.

Streamlit drops the value of a widget that is no longer shown, but keeps what it noted of it (`widget_metadata`: its
callbacks, and with them all that these refer to, such as a whole feature's record) until the session ends. On pages
whose widgets are named after the feature shown, a session grew by some 60 kB with every feature that was looked at.

It reaches into Streamlit (1.67, which is pinned): where that is built differently one day, nothing is forgotten, and
`tests/pages/test_forgetting.py` says so. Cost: a walk over the names of the last run's widgets.
"""

from __future__ import annotations

from streamlit.runtime.scriptrunner import get_script_run_ctx


def forget() -> int:
    """At the beginning of a run: drops the notes on widgets that the last run did not show; how many are left."""
    context = get_script_run_ctx()
    state = getattr(getattr(context, "session_state", None), "_state", None)
    widgets, before = getattr(state, "_new_widget_state", None), getattr(state, "_old_state", None)
    notes = getattr(widgets, "widget_metadata", None)
    if not isinstance(notes, dict) or not isinstance(before, dict):
        return -1
    shown = {*before, *widgets.states}
    for name in [name for name in notes if name not in shown]:
        notes.pop(name, None)  # a fragment's run may do the same meanwhile
    return len(notes)
