"""A Hugging Face hub on loopback, so that what is fetched by name can be tested without the network.

Serves folders as repositories at one revision: the file routes with ETag, commit and ranges, and the two listings that
the clients ask for. Some repositories may be gated, or in trouble; a file may come slowly, or be cut off in the middle.
Set `environment()` before the clients are imported: in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit


class Hub:
    """`with Hub({"org/name": folder}) as hub:` serves until the block ends."""

    def __init__(
        self, repositories: dict[str, Path], *, gated: dict[str, str] | None = None,
        broken: frozenset[str] = frozenset(), cut: dict[str, int] | None = None, slow: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.repositories = repositories
        self.gated = gated or {}
        """The token that opens each repository that not everybody is given."""
        self.broken = broken
        """Repositories of which the hub says 500."""
        self.cut = dict(cut or {})
        """Files, as org/name/path, whose connection is dropped after so many bytes, once."""
        self.slow = slow or {}
        """Files, as org/name/path, that take so many seconds."""
        self.ranges: list[tuple[str, str]] = []
        """(file, range) of the requests that asked for a part."""
        self.older: dict[tuple[str, str], dict[str, bytes]] = {}
        """What repositories were at commits before, by (name, commit): see `remember`."""
        self.asked: list[str] = []
        """Paths in the order of the requests."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """What points the clients here, with their cache in `home`."""
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.server.server_address[1]}", "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip

    def files(self, name: str) -> dict[str, Path]:
        """A repository's files by their path."""
        root = self.repositories[name]
        return {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("*")) if p.is_file()}

    def commit(self, name: str) -> str:
        """Follows the content."""
        digest = hashlib.sha1(name.encode())
        for path, file in self.files(name).items():
            digest.update(path.encode() + file.read_bytes())
        return digest.hexdigest()

    def remember(self, name: str) -> str:
        """Goes on to serve a repository as it is now at its commit, whatever becomes of it; the commit."""
        commit = self.commit(name)
        self.older[name, commit] = {path: file.read_bytes() for path, file in self.files(name).items()}
        return commit


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

        def answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            hub.asked.append(path)
            listing = path.removeprefix("api/models/") if path.startswith("api/models/") else ""
            for name in sorted(hub.repositories, key=len, reverse=True):
                mine = (listing + "/").startswith(name + "/") or path.startswith(name + "/resolve/")
                if mine and name in hub.broken:
                    return self.send(500, b"{}", {}, body=body)
                if mine and (token := hub.gated.get(name)):
                    given = self.headers.get("Authorization")
                    if given != f"Bearer {token}":
                        said = f"Access to model {name} is restricted."
                        headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": said}
                        return self.send(403 if given else 401, b"{}", headers, body=body)
                if listing and (listing + "/").startswith(name + "/"):
                    return self.listing(name, listing.removeprefix(name).strip("/"), body=body)
                if path.startswith(name + "/resolve/"):
                    return self.file(name, path.split("/resolve/", 1)[1], body=body)
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)

        def listing(self, name: str, rest: str, *, body: bool) -> None:
            files, sha = hub.files(name), hub.commit(name)
            if rest.startswith("revision/") and rest.split("/")[1] not in ("main", sha):
                return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body=body)
            if rest.startswith("tree/"):
                inside = "/".join(rest.split("/")[2:])
                found: object = [
                    {
                        "type": "file",
                        "path": p,
                        "size": f.stat().st_size,
                        "oid": hashlib.sha1(f.read_bytes()).hexdigest(),
                    }
                    for p, f in files.items()
                    if p.startswith(inside)
                ]
            else:
                found = {"id": name, "modelId": name, "sha": sha, "siblings": self.siblings(files)}
            return self.send(200, json.dumps(found).encode(), {"Content-Type": "application/json"}, body=body)

        def siblings(self, files: dict[str, Path]) -> list[dict[str, object]]:
            if "blobs=" not in self.path:
                return [{"rfilename": p} for p in files]
            return [{"rfilename": p, "size": f.stat().st_size, "blobId": "0"} for p, f in files.items()]

        def file(self, name: str, rest: str, *, body: bool) -> None:
            revision, path = rest.split("/", 1)
            files, sha = hub.files(name), hub.commit(name)
            older = hub.older.get((name, revision))
            if revision not in ("main", sha) and older is None:
                return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
            sha = sha if older is None else revision
            if path not in (files if older is None else older):
                return self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}, body=body)
            content = files[path].read_bytes() if older is None else older[path]
            mark = f'"{hashlib.sha256(content).hexdigest()}"'
            headers = {"ETag": mark, "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
            status, place = 200, f"{name}/{path}"
            asked = self.headers.get("Range", "")
            if body and asked.startswith("bytes="):
                hub.ranges.append((place, asked))
                begin = int(asked.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
                content, status = content[begin:], 206
            if body and place in hub.cut:
                return self.cut_off(status, content, headers, hub.cut.pop(place))
            if body and (seconds := hub.slow.get(place)):
                time.sleep(seconds)
            return self.send(status, content, headers, body=body)

        def cut_off(self, status: int, content: bytes, headers: dict[str, str], after: int) -> None:
            """Announces all of it and drops the connection in the middle."""
            self.send(status, content[:after], headers, body=True, length=len(content))
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

        def send(
            self, status: int, content: bytes, headers: dict[str, str], *, body: bool, length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            if body:
                self.wfile.write(content)

    return Handler
