"""A loopback server that speaks OpenAI's API: chat completions with usage, models, embeddings; misbehaves on demand.

`faults` are taken from the front, one a request (`always` when there are none left): `500`, `429:SECONDS` (with
Retry-After), `stall:SECONDS`, `truncate` (ends for length), `nonsense` (no JSON), `empty`, `quota`, `400:TEXT`, `drop`.
It counts what it was asked, by body, so that a test sees what was asked twice.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-loopback"
Reply = Callable[[dict[str, Any]], str]


class OpenAIServer:
    """Runs while it is entered; `reply` is the text of an answer, or makes it of a question's body."""

    def __init__(self, reply: Reply | str = "words for family", *, key: str = KEY, pause: float = 0.0) -> None:
        self.reply = reply
        self.key, self.pause = key, pause
        self.faults: deque[str] = deque()
        self.always = ""
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.answered = 0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.models(self)

            def do_POST(self) -> None:
                owner.post(self)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True

    def __enter__(self) -> OpenAIServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        """As a base URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def twice(self) -> int:
        """Questions that were asked more than once."""
        bodies = Counter(json.dumps(body["messages"], sort_keys=True) for body in self.asked)
        return sum(count - 1 for count in bodies.values())

    def models(self, http: BaseHTTPRequestHandler) -> None:
        """The list of models."""
        _send(http, 200, {"object": "list", "data": [{"id": "loopback", "object": "model"}]})

    def post(self, http: BaseHTTPRequestHandler) -> None:
        """A question."""
        body = json.loads(http.rfile.read(int(http.headers["Content-Length"])))
        if self.key and http.headers.get("Authorization") != f"Bearer {self.key}":
            said = f"Incorrect API key provided: {http.headers.get('Authorization', '')[7:]}."
            return _send(http, 401, {"error": {"message": said, "code": "invalid_api_key"}})
        with self.lock:
            self.asked.append(body)
            self.times.append(time.monotonic())
            fault = self.faults.popleft() if self.faults else self.always
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            time.sleep(self.pause)
            if http.path.endswith("/embeddings"):
                return self._embed(http, body)
            return self._chat(http, body, fault)
        finally:
            with self.lock:
                self.at_once -= 1

    def _embed(self, http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        rows = [{"index": n, "embedding": [float(len(text)), 1.0, float(n)]} for n, text in enumerate(texts)]
        _send(http, 200, {"object": "list", "data": rows, "model": body["model"], "usage": {"prompt_tokens": 1}})

    def _chat(self, http: BaseHTTPRequestHandler, body: dict[str, Any], fault: str) -> None:
        kind, _, more = fault.partition(":")
        if kind == "stall":
            time.sleep(float(more))
        elif kind == "drop":
            http.close_connection = True
            return http.connection.close()
        elif kind == "quota":
            return _send(http, 429, {"error": {"message": "no credit", "code": "insufficient_quota"}})
        elif kind == "429":
            return _send(http, 429, {"error": {"message": "slow down"}}, {"Retry-After": more})
        elif kind.isdigit():
            return _send(http, int(kind), {"error": {"message": more or "it failed"}})
        elif kind == "nonsense":
            return _send_text(http, "<html>Bad gateway</html>")
        text = "" if kind == "empty" else self.reply if isinstance(self.reply, str) else self.reply(body)
        words = len(json.dumps(body["messages"])) // 4
        with self.lock:
            self.answered += 1
        _send(http, 200, {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{
                "index": 0, "message": {"role": "assistant", "content": text},
                "finish_reason": "length" if kind == "truncate" else "stop",
            }],
            "usage": {"prompt_tokens": words, "completion_tokens": 10, "total_tokens": words + 10},
        })  # fmt: skip


def _send(http: BaseHTTPRequestHandler, status: int, body: dict[str, Any], more: dict[str, str] | None = None) -> None:
    _write(http, status, json.dumps(body).encode(), "application/json", more or {})


def _send_text(http: BaseHTTPRequestHandler, text: str) -> None:
    _write(http, 200, text.encode(), "text/html", {})


def _write(http: BaseHTTPRequestHandler, status: int, body: bytes, kind: str, more: dict[str, str]) -> None:
    try:
        http.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(body)
    except OSError:  # whoever asked is gone, as a test may mean it
        pass
