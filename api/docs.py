"""`GET /docs`: the OpenAPI description as one plain page.

The usual viewers load their script from a content network; this page needs nothing but itself, so it also works where
the workbench usually runs, on a machine without the internet. Every route has a line for the shell, with the address
that the page was asked for; its values are the examples of the description, and work as they are on the demo.
"""

from __future__ import annotations

import json
import re
import shlex
from html import escape
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

STYLE = """
:root{color-scheme:light dark;--bg:#fbfbf9;--ink:#1d1f21;--soft:#6b7075;--line:#e6e5e0;--card:#fff;--accent:#0b7a5b}
@media(prefers-color-scheme:dark){
:root{--bg:#131517;--ink:#e7e8e9;--soft:#969ba1;--line:#2a2e32;--card:#1a1d20;--accent:#2ec496}}
body{margin:0 auto;max-width:860px;padding:24px 18px 60px;background:var(--bg);color:var(--ink);
font:15px/1.55 Inter,"DejaVu Sans",system-ui,sans-serif}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;margin:14px 0}
h1{font-size:24px}h2{font:600 15px "DejaVu Sans Mono",monospace;margin:0;overflow-wrap:anywhere}
h2 b,a{color:var(--accent)}p{margin:6px 0}small,pre{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:13.5px}
td{border-top:1px solid var(--line);padding:4px 8px 4px 0;vertical-align:top}
code,pre{font:13px "DejaVu Sans Mono",monospace;overflow-wrap:anywhere}pre{white-space:pre-wrap}
"""


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Every route with its parameters."""
    schema = request.app.openapi()
    base = str(request.url.replace(query="", fragment="")).removesuffix("/docs")
    parts = [
        _operation(path, method, operation, schema, base)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    title = f"{schema['info']['title']} API {schema['info']['version']}"
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{_text(schema['info']['description'])}</p>"
        f'<p><a href="openapi.json">OpenAPI description</a> · <a href="/">Workbench</a></p>' + "".join(parts)
    )


def example(path: str, operation: dict[str, Any], schema: dict[str, Any]) -> tuple[str, Any]:
    """(path, body) of a request that works on the demo; the body is None where there is none."""
    for entry in operation.get("parameters", ()):
        if entry["in"] == "path":
            path = path.replace("{" + entry["name"] + "}", str(entry["schema"]["examples"][0]))
    asked = {
        entry["name"]: entry["schema"]["examples"][0]
        for entry in operation.get("parameters", ())
        if entry["in"] == "query" and entry.get("required")
    }
    path += f"?{urlencode(asked, safe=',/')}" if asked else ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return path, None if body is None else _instance(body, schema)


def _instance(schema: dict[str, Any], whole: dict[str, Any]) -> Any:
    """The example of a schema, or one made of its fields' examples."""
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "examples" in schema:
        return schema["examples"][0]
    parts = schema.get("properties", {})
    return {name: _instance(part, whole) for name, part in parts.items() if "examples" in part or "$ref" in part}


def _operation(path: str, method: str, operation: dict[str, Any], schema: dict[str, Any], base: str) -> str:
    rows = [
        _row(entry["name"], entry["schema"], entry["in"], entry.get("description", ""), entry.get("required", False))
        for entry in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    fields = escape(json.dumps(_resolved(body, schema), indent=1)) if body else ""
    shown = f"<p><small>Body</small></p><pre>{fields}</pre>" if body else ""
    shown += f"<p><small>Example</small></p><pre>{escape(_line(base, *example(path, operation, schema)))}</pre>"
    return (
        f"<section><h2><b>{method.upper()}</b> /api{escape(path)}</h2><p>{_text(operation.get('summary', ''))}. "
        f"{_text(operation.get('description', ''))}</p><table>{''.join(rows)}</table>{shown}</section>"
    )


def _line(base: str, path: str, body: Any) -> str:
    """An example for the shell."""
    line = f"curl -s {shlex.quote(base + path)}"
    if body is None:
        return line
    return f"{line} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"


def _row(name: str, schema: dict[str, Any], where: str, description: str, required: bool) -> str:
    kind = str(schema.get("type", "any")) + ("" if required else ", optional")
    cells = (f"<code>{escape(name)}</code>", escape(f"{where}, {kind}"), escape(description))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _text(markdown: str) -> str:
    """Escaped, with `code` as code: all the Markdown that our descriptions use."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(markdown))


def _resolved(schema: Any, whole: dict[str, Any]) -> Any:
    """A body's schema as field: what it is, or its type; with references followed."""
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "properties" in schema:
        return {name: _resolved(part, whole) for name, part in schema["properties"].items()}
    if "description" in schema:
        return schema["description"]
    if "anyOf" in schema:
        return " or ".join(str(_resolved(part, whole)) for part in schema["anyOf"])
    if schema.get("type") == "array":
        items = _resolved(schema["items"], whole)
        return [items] if isinstance(items, dict) else f"list of {items}"
    return schema.get("type", "any")
