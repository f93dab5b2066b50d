"""The FastAPI application that `app.py` mounts at /api: the public part of Neuronpedia's API, and the catalog.

Paths and JSON are Neuronpedia's, so that its clients work unchanged. Bad input is a 4xx with `{"error", "message"}`; a
5xx is a bug, which the server logs and the client is not told. Costs 0.3 s to import; a route that tests a text loads
the model.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import activation, catalog, docs, errors, feature, search, steer, tokenize, vector
from api.access import Json
from api.limit import Limit
from api.pace import Counter, Pace
from core import __version__
from core.workbench import Workbench

LOOPBACK = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
"""Pages of this machine, on any port, may call the API; others only where the settings name them."""

DESCRIPTION = """Features of sparse autoencoders, as JSON. Paths and fields are Neuronpedia's; indices are strings in
the JSON and are read as strings or integers. An error is `{"error", "message"}`; the message says what to change.
Routes that run a model answer so many requests a minute of one client; beyond that it is 429, with `Retry-After`."""


def create(workbench: Workbench, counter: Counter | None = None) -> FastAPI:
    """The API over one workbench; `counter` is that of the whole server, where it has more doors than this."""
    app = FastAPI(
        title="Featurescope",
        version=__version__,
        description=DESCRIPTION,
        default_response_class=Json,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": "/api"}],
    )
    app.state.workbench = workbench
    settings = workbench.settings
    app.add_middleware(Limit)
    app.add_middleware(Pace, counter=counter or Counter(settings.requests_a_minute, proxies=settings.proxies))
    origins = settings.web_origins()
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_origin_regex=LOOPBACK,
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type", "X-Api-Key"],
        expose_headers=["Retry-After"],
    )
    errors.install(app)
    for part in (catalog, feature, activation, search, steer, vector, tokenize, docs):
        app.include_router(part.router)
    return app
