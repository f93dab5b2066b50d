"""The Gradio application that `app.py` mounts at /embed: a feature tester at /embed/tester, steering at /embed/steer.

Importing this imports Gradio (4 s on two cores); `embeds.mount` does so when somebody first asks. What Gradio has
beside the blocks, uploads and files and a proxy, nobody needs here, so those doors are closed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

# Before the import: Gradio reads it there, and otherwise tells its makers that it was started.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from components import charts
from core.workbench import Workbench
from embeds import steer, tester
from embeds.page import DARK, LIGHT, Head

HERE = Path(__file__).parent
COMPONENTS = HERE.parent / "components"
SANS = ["Inter", "DejaVu Sans", "system-ui", "sans-serif"]
MONO = ["JetBrains Mono", "DejaVu Sans Mono", "monospace"]
EMBEDS = {
    "tester": (tester.blocks, tester.about, ("id", "text")),
    "steer": (steer.blocks, steer.about, steer.NAMES),
}
"""By the name that they have in an address: the blocks, what they say of themselves, and the parameters they read."""
COMMON = ("theme", "view")
"""Parameters of every embed; `view=api` is Gradio's description of the endpoints."""
THEMES = ("light", "dark")
LOOKS = 0.02
"""Seconds between two looks of a queue at whether there is anything to do. With Gradio's own 0.001 two queues that
nobody uses take a twelfth of a core."""
CLOSED = re.compile(
    r"/gradio_api/(?:upload|upload_progress|proxy=|file=|file/|stream/|run-history|dev/|runs)|/monitoring"
)

Count = Callable[[Scope], None]
"""Counts a request of a client; raises a `WorkbenchError` if it is one too many."""


def create(workbench: Workbench, count: Count = lambda scope: None) -> FastAPI:
    """The embeds over one workbench; `count` hears of every request that runs a model."""
    app = FastAPI(title="Featurescope embeds", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/", lambda: RedirectResponse("tester/"), include_in_schema=False)
    app.add_middleware(Head, about={f"/{name}/": partial(say, workbench) for name, (_, say, _) in EMBEDS.items()})
    app.add_middleware(Door)
    # Without this Gradio lets every page of the web call it. An embed's frame is of our own origin and needs no leave.
    app.add_middleware(CORSMiddleware, allow_origins=workbench.settings.web_origins(), allow_methods=["GET", "POST"])

    def ask(request: gr.Request) -> None:
        count(getattr(request, "request", request).scope)

    for name, (make, _, _) in EMBEDS.items():
        blocks = make(workbench, ask)
        gr.mount_gradio_app(app, blocks, path=f"/{name}", **options(cover=workbench.community.shared))
        blocks._queue.sleep_when_free = LOOKS
        tools_in_json(blocks)
    return app


def options(*, cover: bool = False) -> dict[str, Any]:
    """How blocks are served, here and alone; with `cover` examples with explicit text are covered until asked for."""
    return {
        "theme": _theme(),
        "css": _style() + charts.COVER * cover,
        "js": (HERE / "embed.js").read_text(encoding="utf-8"),
        "footer_links": ["api"],  # not shown, but without it there is no ?view=api
        "run_history": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "show_error": False,
        "max_file_size": "1kb",
        "mcp_server": find_spec("mcp") is not None,  # a Space may leave the package out
    }


def tools_in_json(blocks: gr.Blocks) -> None:
    """Has the tools of blocks that are served answer in JSON; Gradio would write a dictionary as Python does."""
    if blocks.mcp_server_obj is not None:
        blocks.mcp_server_obj.postprocess_output_data = _as_json


def _as_json(data: Sequence[Any], root_url: str) -> list[Any]:
    """What a tool answers."""
    from mcp.types import TextContent

    return [TextContent(type="text", text=json.dumps(one, ensure_ascii=False)) for one in data]


class Door:
    """ASGI middleware: an embed's address in the form that Gradio reads, and what is not open here.

    `/embed/tester?theme=dark` becomes `tester/?theme=dark&__theme=dark`, said relative to where it was asked for, since
    only the reader's browser knows the scheme and host of a server behind a proxy. Parameters that an embed does not
    read are left out: some would be Gradio's own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if CLOSED.search(path):
                return await PlainTextResponse("This is not open here.", 404)(scope, receive, send)
            if target := plain(path, scope["query_string"].decode("latin-1")):
                return await RedirectResponse(target)(scope, receive, send)
        return await self._app(scope, receive, send)


def plain(path: str, query: str) -> str:
    """Where the address of an embed leads on to, relative to it; empty if it is in its plain form, or is none."""
    name = path.strip("/")
    if name not in EMBEDS:
        return ""
    given = parse_qsl(query, keep_blank_values=True)
    wanted = [(key, value) for key, value in given if key in (*EMBEDS[name][2], *COMMON)]
    theme = dict(wanted).get("theme", "").lower()
    if theme in THEMES:
        wanted.append(("__theme", theme))
    if path.endswith("/") and wanted == given:
        return ""
    here = f"../{name}/" if path.endswith("/") else f"{name}/"
    return here + "?" * bool(wanted) + urlencode(wanted, safe="/")


def _theme() -> gr.themes.Base:
    # Fonts by name: the default theme would fetch them from a font service.
    return gr.themes.Default(primary_hue="emerald", font=SANS, font_mono=MONO).set(
        body_background_fill=LIGHT[0], body_background_fill_dark=DARK[0]
    )


def _style() -> str:
    """Our colours from the pages' style sheet, the token strip's, and that of the embeds."""
    look = (COMPONENTS / "look" / "look.css").read_text(encoding="utf-8")
    found = re.search(r"\.stApp \{(.*?)\n\}", look, re.DOTALL)
    assert found, "look.css begins with the colours"
    strip = (COMPONENTS / "token_strip" / "strip.css").read_text(encoding="utf-8")
    own = (HERE / "embed.css").read_text(encoding="utf-8")
    return f"body {{{found[1]}\n}}\n{strip}\n{own}"
