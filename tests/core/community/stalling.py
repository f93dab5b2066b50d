"""A store that misbehaves: a loopback server before a real one, which it obeys only when it is told to."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx

MODES = ("stall", "drip", "drip-head", "reset", "500", "503", "garbage", "html", "empty", "redirect", "wrong-json")


class Stalling(ThreadingHTTPServer):
    """Set `mode` to one of `MODES`, to `lose` (does what was asked and does not answer), or to `pass`."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.upstream, self.mode, self.asked = upstream, "pass", 0
        self.ended = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked did not wait."""

    def __enter__(self) -> Stalling:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stalling

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def route(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked += 1
        mode = self.server.mode
        if mode in {"pass", "lose"}:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}
            }
            headers["Accept-Encoding"] = "identity"
            parts = urlsplit(self.path)
            url = f"{self.server.upstream}{parts.path}" + (f"?{parts.query}" if parts.query else "")
            answer = httpx.request(self.command, url, content=body, headers=headers, timeout=30)
            if mode == "lose":
                self.server.ended.wait(30)
                return
            self._send(answer.status_code, answer.content, dict(answer.headers))
        elif mode == "stall":
            self.server.ended.wait(30)
        elif mode == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self._drip(b"[" + b" " * 999)
        elif mode == "drip-head":
            self._drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 900)
        elif mode == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
        else:
            self._send(
                *{
                    "500": (500, b"Internal Server Error"),
                    "503": (503, b'{"message": "upstream unavailable"}'),
                    "garbage": (200, b"\x00\xff{not json"),
                    "html": (502, b"<html><body>Bad gateway</body></html>"),
                    "empty": (200, b""),
                    "redirect": (302, b""),
                    "wrong-json": (200, b'"a text"'),
                }[mode]
            )

    do_GET = do_POST = do_PATCH = do_DELETE = do_HEAD = do_PUT = route

    def _drip(self, all_of_it: bytes) -> None:
        for byte in all_of_it:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.ended.wait(0.1):
                return

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        kept = {k: v for k, v in (headers or {}).items() if k.lower() in {"content-type", "content-range", "location"}}
        for name, value in kept.items():
            self.send_header(name, value)
        length = (headers or {}).get("content-length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def refusing() -> str:
    """An address at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


def took(work: object) -> float:
    """Seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
