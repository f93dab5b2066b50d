"""Who may show which page in a frame: embeds everybody, other pages only whom the settings name.

A page in a stranger's frame can be made to look like something else while it is clicked on. So every answer says in its
`Content-Security-Policy` who may frame it. Streamlit serves one HTML for all its pages and only its script reads the
address; the rule here is by path and by `embed=true`, read as that script reads it, and the script then shows nothing
but what may be embedded (`pages/_router.py`), whatever page it is led to inside the frame.

`theme=light|dark` of an embedded page becomes Streamlit's own parameter on the way.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components import links

ANYBODY = "frame-ancestors * file: app: vscode-webview:"
"""`*` alone stands for the web's schemes; a post may also be a file opened from a disk, or stand in an editor."""
EMBED = re.compile(r"/embed(?:/.*)?")
PAGE = re.compile(rf"/(?:{'|'.join(links.EMBEDDABLE)})|(?:/f)?/[^/]+/[0-9]+-[^/]+/[0-9]+")
"""Pages that can be embedded, and the links that lead to a feature's."""
OPTIONS = "embed_options"


class Frames:
    """ASGI middleware; `ancestors` are the origins that may frame any page, none if empty."""

    def __init__(self, app: ASGIApp, *, ancestors: str) -> None:
        self._app = app
        self._few = f"frame-ancestors {ancestors or chr(39) + 'none' + chr(39)}"
        self._own = f"frame-ancestors 'self' {ancestors}".rstrip()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        query = scope["query_string"].decode("latin-1")
        policy = self._policy(path, query)

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("content-security-policy", policy)
            await send(message)

        if path.lstrip("/") in links.EMBEDDABLE and (themed := with_theme(query)):
            return await RedirectResponse(f"{path.lstrip('/')}?{themed}")(scope, receive, framed)
        await self._app(scope, receive, framed)

    def _policy(self, path: str, query: str) -> str:
        if EMBED.fullmatch(path) or (PAGE.fullmatch(path) and embedded(query)):
            return ANYBODY
        return self._own if path.startswith("/component/") else self._few  # Streamlit's own frames


def embedded(query: str) -> bool:
    """Whether Streamlit's script will take the page for an embedded one."""
    return any(name == "embed" and value.lower() == "true" for name, value in parse_qsl(query))


def with_theme(query: str) -> str:
    """The query with Streamlit's own parameter for the theme that it asks for; empty if there is nothing to add."""
    given = parse_qsl(query, keep_blank_values=True)
    theme = dict(given).get("theme", "").lower()
    if theme not in ("light", "dark") or not embedded(query) or any(name == OPTIONS for name, _ in given):
        return ""
    return urlencode([*given, (OPTIONS, f"{theme}_theme")], safe="/")
