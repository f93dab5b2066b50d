"""The FastAPI application that `app.py` mounts at /api: the public part of Neuronpedia's API, and the catalog.

Paths and JSON are Neuronpedia's, so that its clients work unchanged. Bad input is a 4xx with `{"error", "message"}`; a
5xx is a bug, which the server logs and the client is not told. Costs 0.3 s to import; a route that tests a text loads
the model.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import (
    activation,
    bookmark,
    bring,
    catalog,
    circuit,
    comment,
    compare,
    cossim,
    docs,
    engine,
    errors,
    explanation,
    explanation_people,
    explanation_search,
    exporting,
    feature,
    graph,
    head,
    lists,
    pairs,
    play,
    probe,
    quality,
    redteam,
    search,
    steer,
    template,
    tokenize,
    umap,
    universal,
    uploading,
    user,
    vector,
)
from api.access import LOOPBACK, Json
from api.limit import Limit
from api.pace import Counter, Pace
from core import __version__
from core.workbench import Workbench

DESCRIPTION = """Features of sparse autoencoders, as JSON. Paths and fields are Neuronpedia's; indices are strings in
the JSON and are read as strings or integers. An error is `{"error", "message"}`; the message says what to change.
Routes that run a model answer so many requests a minute of one client; beyond that it is 429, with `Retry-After`.
Lists, bookmarks and comments are somebody's: send a key of your account page as `X-Api-Key`. A workbench of one person
that only its own machine reaches needs none."""


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
    for part in (
        catalog, feature, activation, search, explanation_search, explanation, explanation_people, steer, vector,
        cossim, circuit, pairs, head, graph, compare, umap, universal, tokenize, template, lists,
        bookmark, comment, play, probe, quality, redteam, bring, exporting, uploading, engine, user, docs,
    ):  # fmt: skip
        app.include_router(part.router)
    return app
