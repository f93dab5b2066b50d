"""Links to a feature that unfurl: `/<model>/<source>/<index>` and `/f/<model>/<source>/<index>`.

A chat or a social network reads a page's title and description without running it, which a Streamlit page cannot give.
So these paths answer with a few lines of HTML that carry them and lead on to `/feature`. They match only where the
second part has the form of a source id and the third is a number, so no path of Streamlit, the API or the embeds is
caught.
Costs one feature record.
"""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from core.errors import WorkbenchError
from core.records import FeatureRecord
from core.workbench import Workbench

STYLE = """
:root{color-scheme:light dark}a{color:#0b7a5b}
body{margin:18vh auto;max-width:34em;padding:0 18px;background:#fbfbf9;color:#1d1f21;
font:16px/1.6 Inter,"DejaVu Sans",system-ui,sans-serif}
@media(prefers-color-scheme:dark){body{background:#131517;color:#e7e8e9}a{color:#2ec496}}
"""


class _Part(Convertor[str]):
    """A part of a path that has the form of an id."""

    def __init__(self, regex: str) -> None:
        self.regex = regex

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("model", _Part(r"[A-Za-z0-9][A-Za-z0-9._-]*"))
register_url_convertor("source", _Part(r"[0-9]+-[A-Za-z0-9][A-Za-z0-9._-]*"))
register_url_convertor("index", _Part(r"[0-9]+"))


def routes(workbench: Workbench) -> list[BaseRoute]:
    """The two forms of the link; `/f/…` also works for a model whose name is a path of the server."""

    def link(request: Request) -> Response:
        parts = request.path_params
        name = f"{parts['model_id']}/{parts['source_id']}/{parts['index']}"
        try:
            record = workbench.feature(name)
        except WorkbenchError as error:
            return HTMLResponse(_missing(request, name, error), status_code=error.status)
        return HTMLResponse(_card(request, record))

    path = "/{model_id:model}/{source_id:source}/{index:index}"
    return [Route("/f" + path, link), Route(path, link)]


def _card(request: Request, record: FeatureRecord) -> str:
    """Title and description for the unfurler, and a way on for a person."""
    base = request.scope.get("root_path", "")
    given = [(name, value) for name, value in request.query_params.multi_items() if name != "id"]
    target = f"{base}/feature?{urlencode([('id', str(record.key)), *given], safe='/')}"
    title = f"{record.label} · {record.key}" if record.label else str(record.key)
    meta = {
        "og:type": "website",
        "og:site_name": "Featurescope",
        "og:title": title,
        "og:description": _description(record),
        "og:url": str(request.url),
        "twitter:card": "summary",
    }
    tags = "".join(f'<meta property="{name}" content="{escape(value)}">' for name, value in meta.items())
    return _page(
        title,
        f'<meta name="description" content="{escape(_description(record))}">{tags}'
        f'<meta http-equiv="refresh" content="0; url={escape(target)}">',
        f'<p><a href="{escape(target)}">{escape(title)}</a></p><p>{escape(_description(record))}</p>',
    )


def _description(record: FeatureRecord) -> str:
    if record.dead:
        return f"No activations on {record.source.tokens:,} tokens of {record.source.dataset}."
    return (
        f"Active on {record.density:.3%} of {record.source.tokens:,} tokens, maximum {record.maximum:.4g}. "
        f"{record.source.hook}, {record.source.width:,} features."
    )


def _missing(request: Request, name: str, error: WorkbenchError) -> str:
    base = request.scope.get("root_path", "")
    return _page(
        "Not found",
        '<meta name="robots" content="noindex">',
        f"<h1>There is no feature {escape(name)}</h1><p>{escape(str(error))}</p>"
        f'<p><a href="{escape(base)}/" target="_top">See what is here</a></p>',  # out of a frame, if it is in one
    )


def plain(title: str, said: str) -> str:
    """A page of one sentence, with a way to the start."""
    back = '<p><a href="/">See what is here</a></p>'
    return _page(title, "", f"<h1>{escape(title)}</h1><p>{escape(said)}</p>{back}")


def _page(title: str, head: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title>{head}<style>{STYLE}</style></head><body>{body}</body></html>"
    )
