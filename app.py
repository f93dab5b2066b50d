"""Composes the server: Streamlit's pages, the JSON API at /api, signing in at /auth, the Gradio embeds at /embed.

One process, one port. `python app.py` serves on HOST and PORT and prints the address; `streamlit run app.py` works too.
Nothing here imports torch or Gradio: the first test of a text and the first visit of an embed do.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount, Route

from api import links, pace, server, sign_in
from core import __version__, process
from embeds.frames import Frames
from embeds.mount import OnFirstRequest


def _wrong(error: ValidationError) -> str:
    """What is wrong with which setting, a line each."""
    names = [str(one["loc"][0]) for one in error.errors()]
    names = [name if name.isupper() else f"FEATURESCOPE_{name.upper()}" for name in names]
    said = [one["msg"].removeprefix("Value error, ") for one in error.errors()]
    return "\n".join(f"{name}: {what}" for name, what in zip(names, said, strict=True))


try:
    workbench = process.workbench()
except ValidationError as error:
    sys.exit(_wrong(error))
settings = workbench.settings
counter = pace.Counter(settings.requests_a_minute, proxies=settings.proxies)


def _embeds() -> FastAPI:
    from embeds.server import create

    return create(workbench, counter)


embeds = OnFirstRequest(_embeds)


def health(request: Request) -> JSONResponse:
    """For whoever watches the process: it answers, and what it can see."""
    return JSONResponse({"status": "ok", "version": __version__, "sources": len(workbench.sources())})


def to_embeds(request: Request) -> RedirectResponse:
    """Streamlit answers any path that nobody claims, so the form without the slash needs a claim of its own."""
    return RedirectResponse(request.scope.get("root_path", "") + "/embed/")


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Starts and stops with the server; a mounted application would otherwise never be started."""
    async with embeds.lifespan():
        announcing = asyncio.create_task(_announce()) if __name__ == "__main__" else None
        workbench.words.later.start()
        yield {}
        workbench.words.later.stop()
        if announcing is not None:
            announcing.cancel()


app = st.App(
    Path(__file__).parent / "pages" / "_router.py",
    lifespan=lifespan,
    routes=[
        Route("/healthz", health),
        Mount("/api", app=server.create(workbench, counter)),
        Route("/embed", to_embeds),
        Mount("/embed", app=embeds),
        *sign_in.routes(workbench),
        *links.routes(workbench),
    ],
    middleware=[Middleware(Frames, ancestors=settings.frame_ancestors)],
)


def main() -> None:
    """Serves until interrupted."""
    if _taken(settings.host, settings.port):
        sys.exit(f"Port {settings.port} is in use: choose another one, for example PORT={settings.port + 1}.")
    app.run(config={"server.address": settings.host, "server.port": settings.port})


async def _announce() -> None:
    """Prints the address once it answers, so that whoever reads it may open it."""
    host, port = settings.host, settings.port
    reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while True:
        try:
            _, writer = await asyncio.open_connection(reach, port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        shown = "localhost" if reach in {"127.0.0.1", "::1"} else host
        print(f"\n  Featurescope is at  http://{shown}:{port}\n", flush=True)
        return


def _taken(host: str, port: int) -> bool:
    """Whether something listens there; asked first, since the server's own complaint comes late and says less."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    main()
