"""A stand-in for the gateway before a Supabase project: one address for PostgREST and Auth.

`/rest/v1/*` goes to the real PostgREST: only the path's beginning and the headers with keys are touched, as the hosted
gateway does. `/auth/v1/*` goes to the stand-in for Auth.
"""

from __future__ import annotations

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.stack.auth import Asked, AuthError, AuthStub, Keys

HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length"}
OPEN = {"/auth/v1/authorize", "/auth/v1/callback", "/auth/v1/verify"}
"""Where a browser comes by a link, without a key."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Gateway
    _mine = threading.local()

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def reply(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        body = b"" if payload is None else json.dumps(payload).encode()
        kind = {} if payload is None else {"Content-Type": "application/json"}
        self._send(status, (headers or {}) | kind | {"Content-Length": str(len(body))}, body)

    def route(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        key = self.headers.get("apikey") or query.get("apikey") or ""
        role = self.server.keys.role_token(key)
        if role is None and not (url.path in OPEN and self.command == "GET"):
            self.reply(401, {"message": "Invalid API key" if key else "No API key found in request"})
        elif url.path.startswith("/auth/v1/"):
            self._auth(url.path.removeprefix("/auth/v1"), Asked(query, self.headers, json.loads(body or b"{}")))
        elif url.path.startswith("/rest/v1"):
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
            if bearer in ("", key):  # nobody is signed in: the key's own role
                headers["Authorization"] = f"Bearer {role}"
            path = (url.path.removeprefix("/rest/v1") or "/") + (f"?{url.query}" if url.query else "")
            self._forward(path, headers, body)
        else:
            self.reply(404, {"message": "no Route matched with those values"})

    def _auth(self, path: str, asked: Asked) -> None:
        try:
            self.reply(*self.server.auth.handle(self.command, path, asked))
        except AuthError as error:
            headers = {"X-Supabase-Api-Version": "2024-01-01", "x-sb-error-code": error.code}
            self.reply(error.status, {"code": error.code, "message": error.message, **error.extra}, headers)

    def _forward(self, path: str, headers: dict[str, str], body: bytes) -> None:
        for again in (False, True):
            line = getattr(self._mine, "line", None)
            if line is None or again:
                line = self._mine.line = http.client.HTTPConnection(*self.server.upstream, timeout=30)
            try:
                line.request(self.command, path, body=body or None, headers=headers)
                answer = line.getresponse()
                found = answer.read()
                break
            except (http.client.HTTPException, OSError):
                line.close()
                if again:
                    self.reply(503, {"message": "upstream unavailable"})
                    return
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP | {"date", "server"}}
        told = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._send(answer.status, kept | {"Content-Length": told or str(len(found))}, found)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = route


class Gateway(ThreadingHTTPServer):
    """Serves until it is shut down; on any free port unless told which."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked is gone: nothing to say."""

    def __init__(self, upstream: tuple[str, int], dsn: str, keys: Keys, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.upstream, self.keys = upstream, keys
        self.auth = AuthStub(dsn, keys, self.url)
        threading.Thread(target=self.serve_forever, daemon=True).start()
