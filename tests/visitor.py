"""A visitor without a browser: speaks Streamlit's websocket, asks for pages, and waits until each script has finished.

What a browser sends is a state (which page, which query, what its widgets hold), and what comes back is the page as
messages, with one that says that the script ended. The messages are Streamlit's own protocol buffers, of the version
that is installed. Knows nothing of what the pages mean.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

PATIENCE = 300.0
"""Seconds for one script."""


class Failed(Exception):
    """A page raised, was not found, or its script did not finish."""


@dataclass(slots=True)
class Component:
    """One of a page's own components: what identifies it, and its data."""

    id: str
    fragment: str
    data: dict[str, Any]


@dataclass(slots=True)
class Page:
    """What one run of a script has drawn."""

    pieces: dict[tuple[int, ...], str] = field(default_factory=dict)
    """HTML by place: what is drawn later at the same place replaces it."""
    components: dict[str, Component] = field(default_factory=dict)
    seconds: float = 0.0
    wrong: str = ""
    """What went wrong first."""

    @property
    def html(self) -> str:
        """All HTML."""
        return "\n".join(self.pieces.values())


class Visitor:
    """One session; asks for one thing at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._page, self._query = "", ""
        self._known = ""
        """The page that is open, as the server calls it."""

    async def __aenter__(self) -> Visitor:
        address = f"ws://127.0.0.1:{self._port}/_stcore/stream"
        self._socket = await connect(address, subprotocols=["streamlit"], max_size=None, open_timeout=PATIENCE)  # type: ignore[list-item]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._socket.close()

    async def open(self, page: str, **query: str) -> Page:
        """A page by its path, as a link leads to it."""
        self._page, self._query = page, urlencode(query)
        return await self._run(self._message())

    async def fire(self, component: Component, event: str, value: object) -> Page:
        """What a component tells the server; its fragment runs again."""
        message = self._message()
        message.rerun_script.page_name, message.rerun_script.page_script_hash = "", self._known
        message.rerun_script.fragment_id = component.fragment
        widget = message.rerun_script.widget_states.widgets.add()
        widget.id = f"$$STREAMLIT_INTERNAL_KEY_{component.id}__events"
        widget.json_trigger_value = json.dumps([{"event": event, "value": value}])
        return await self._run(message)

    def _message(self) -> BackMsg:
        message = BackMsg()
        message.rerun_script.page_name, message.rerun_script.query_string = self._page, self._query
        return message

    async def _run(self, message: BackMsg) -> Page:
        began, page = time.perf_counter(), Page()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._socket.send(message.SerializeToString())
                while not self._read(ForwardMsg.FromString(await self._socket.recv(decode=False)), page):
                    continue
        except TimeoutError:
            raise Failed(f"/{self._page}: the script did not finish in {PATIENCE:.0f} s") from None
        page.seconds = time.perf_counter() - began
        if page.wrong:  # said once the run is over, or its messages would be taken for the next one's
            raise Failed(page.wrong)
        return page

    def _read(self, message: ForwardMsg, page: Page) -> bool:
        """Puts a message onto the page; whether the script has finished."""
        kind = message.WhichOneof("type")
        if kind == "navigation":
            self._known = message.navigation.page_script_hash
        if kind == "page_not_found":
            page.wrong = page.wrong or f"/{self._page} is not found"
        if kind == "script_finished":
            if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                page.wrong = f"/{self._page} does not compile"
            return message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._draw(message, page)
        return False

    def _draw(self, message: ForwardMsg, page: Page) -> None:
        element, place = message.delta.new_element, tuple(message.metadata.delta_path)
        kind = element.WhichOneof("type")
        if kind == "exception":
            page.wrong = page.wrong or f"/{self._page}: {element.exception.type} {element.exception.message}"
        page.pieces.pop(place, None)
        if kind == "html":
            page.pieces[place] = element.html.body
        elif kind == "bidi_component":
            one = element.bidi_component
            data = json.loads(one.json) if one.json else {}
            page.components[one.component_name] = Component(one.id, message.delta.fragment_id, data)
