"""Runs the server as a process of its own and asks it over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx

ROOT = Path(__file__).resolve().parent.parent


class Server:
    """`python app.py` (or another command) on a free port, with `more` in its environment; `seconds` to an answer."""

    def __init__(self, data: Path, command: tuple[str, ...] = ("app.py",), demo: str = "", **more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, *(part.format(port=self.port) for part in command)]
        here = {"FEATURESCOPE_DATA": str(data), "FEATURESCOPE_DEMO": demo, "PORT": str(self.port)}
        self._environment = environment(**here, **more)
        self.seconds = 0.0
        self.output = ""

    def __enter__(self) -> Server:
        began = time.monotonic()
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        while True:
            try:
                httpx.get(self.url + "/healthz", timeout=5).raise_for_status()
                break
            except httpx.TransportError:
                if self.process.poll() is not None or time.monotonic() - began > 60:
                    self._end()
                    raise RuntimeError(f"The server did not start:\n{self.output}") from None
                time.sleep(0.05)
        self.seconds = time.monotonic() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def get(self, path: str, **options: object) -> httpx.Response:
        """GET without following redirects."""
        return httpx.get(self.url + path, timeout=30, **options)  # type: ignore[arg-type]

    def post(self, path: str, body: object, seconds: float = 120) -> httpx.Response:
        """POST of JSON."""
        return httpx.post(self.url + path, json=body, timeout=seconds)

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.output += self.process.communicate(timeout=15)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.output += self.process.communicate()[0]
            raise RuntimeError(f"The server did not stop when asked to:\n{self.output}") from None


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change the workbench, and with `more`."""
    ours = ("FEATURESCOPE_", "STREAMLIT_", "FRAME_ANCESTORS")
    mine = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return mine | {"PYTHONPATH": str(ROOT), "HOST": "127.0.0.1"} | more


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def python(code: str, *arguments: str, **more: str) -> str:
    """Runs Python code in a fresh process and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
