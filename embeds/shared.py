"""What the Gradio blocks have in common: their places for text and HTML, what a reader is told, who is still there."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import gradio as gr
from gradio.context import LocalContext

from components.jobs import FAULT
from components.markup import Html
from core.errors import BadInput, WorkbenchError
from core.records import FeatureKey
from core.workbench import Workbench

T = TypeVar("T")
LINE: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
"""Of what a reader does. No concurrency limit: what runs a model waits in the workbench, like everybody else's."""

_log = logging.getLogger(__name__)


def html(body: Html, name: str) -> gr.HTML:
    """A place for HTML of our own."""
    return gr.HTML(body, elem_id=name, apply_default_css=False, js_on_load=None)


def line(placeholder: str, label: str) -> gr.Textbox:
    """A field for a line or three."""
    return gr.Textbox(label=label, placeholder=placeholder, show_label=False, container=False, lines=1, max_lines=3)


def said(error: Exception) -> str:
    """What a reader is told: the workbench's own message, or that it is not their fault."""
    if not isinstance(error, WorkbenchError):
        _log.error("an embed failed", exc_info=error)
        return FAULT
    return str(error)


def feature_key(workbench: Workbench, id: str) -> FeatureKey:
    """The feature that a program or an address names, in any form that a person may paste."""
    found = workbench.resolve(id)
    if not isinstance(found, FeatureKey):
        raise BadInput(f"{found} is a source. A feature has an index too: {found}/0.")
    return found


async def gone(request: gr.Request) -> bool:
    """Whether the client that the function at work answers has hung up. Asked within that function.

    Of a queued call Gradio knows, and does not say but to its own queue; any other is a request that waits.
    """
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is not None and event_id:
        event = blocks._queue.event_ids_to_events.get(event_id)
        return event is not None and not event.alive
    inner = getattr(request, "request", request)
    return bool(await inner.is_disconnected())


def within(context: contextvars.Context, items: Iterator[T]) -> Generator[T]:
    """The items, each made in a context: that of the request, which a thread of its own would not have."""
    end = object()
    try:
        while (item := context.run(next, items, end)) is not end:
            yield item  # type: ignore[misc]  # it is not the end
    finally:
        if isinstance(items, Generator):
            items.close()
