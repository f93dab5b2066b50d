"""The head of an embed's page: what a chat unfurls, and the background before any script has run.

Gradio's page introduces itself as Gradio, and follows the system's theme until its script has read the address. So the
page is read on its way out, 20 KB once a visit, and that part of its head is written anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from anyio import to_thread
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.markup import esc

LIGHT, DARK = ("#fbfbf9", "#1d1f21"), ("#131517", "#e7e8e9")
"""Background and text, as on the pages."""
_META = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')


class About(NamedTuple):
    """What a page says of itself before it runs."""

    title: str
    description: str


class Head:
    """ASGI middleware; `about` has, for the path of each embed, what makes of the address's parameters its title."""

    def __init__(self, app: ASGIApp, *, about: Mapping[str, Callable[[Mapping[str, str]], About]]) -> None:
        self._app, self._about = app, about

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        if path not in self._about or scope["method"] != "GET":
            return await self._app(scope, receive, send)
        given = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        about = await to_thread.run_sync(self._about[path], given)
        lines = head(about, given.get("theme") or given.get("__theme", "")).encode("utf-8", "replace")
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: Message = {}
        body = b""

        async def rewritten(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] != "http.response.body":
                return await send(message)
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = MutableHeaders(scope=start)
            if start["status"] == 200:
                body = _META.sub("", body.decode()).encode().replace(b"</head>", lines + b"</head>", 1)
                headers["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app({**scope, "headers": plain}, receive, rewritten)


def head(about: About, theme: str) -> str:
    """The lines of HTML; a theme that is neither light nor dark leaves both to the reader's system."""
    light, dark = {"light": (LIGHT, LIGHT), "dark": (DARK, DARK)}.get(theme.lower(), (LIGHT, DARK))
    colours = f"--bg:{light[0]};--col:{light[1]};--bg-dark:{dark[0]};--col-dark:{dark[1]}"
    meta = {
        "og:type": "website",
        "og:site_name": "Featurescope",
        "og:title": about.title,
        "og:description": about.description,
        "twitter:card": "summary",
    }
    tags = "".join(f'<meta property="{name}" content="{esc(value)}">' for name, value in meta.items())
    return f"<title>{esc(about.title)}</title>{tags}<style>:root{{{colours}}}</style>"
