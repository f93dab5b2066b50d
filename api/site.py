"""Which addresses are this site's own, and the cookies that its routes set.

Knows the settings and a request, nothing of people. A cookie is `HttpOnly; SameSite=Lax`, `Secure` where people come by
https; where the whole workbench lives in another site's frame, `SameSite=None; Secure; Partitioned`, or a browser would
not keep it there.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import Response

from core.community.back import path
from core.settings import Settings

MONTH, HOUR = 30 * 24 * 3600, 3600
WAY = "featurescope_way"
"""The cookie of a sign-in that goes on elsewhere."""
ROOM = 3000
"""Characters of that cookie at most: browsers keep 4 KB."""


@dataclass(frozen=True, slots=True)
class Way:
    """A sign-in that goes on elsewhere, as the browser that began keeps it."""

    verifier: str
    next: str = "/"
    draft: str = ""


class Site:
    """One server as its visitors reach it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def address(self, request: Request) -> str:
        """Where this request reached us, such as `https://features.example.org`; the settings' own word comes first."""
        if self._settings.address:
            return self._settings.address.rstrip("/")
        origin = request.headers.get("origin", "")
        told = request.headers.get("x-forwarded-proto", "") if self._settings.proxies else ""
        secure = request.url.scheme == "https" or told.split(",")[-1].strip() == "https"
        if urlsplit(origin).netloc == request.url.netloc:
            secure = secure or origin.startswith("https://")
        return f"{'https' if secure else 'http'}://{request.url.netloc}"

    def own(self, request: Request) -> bool:
        """Whether one of our own pages sent this, as the browser says; who says nothing is none."""
        sent = request.headers.get("sec-fetch-site")
        if sent is not None:
            return sent == "same-origin"
        origin = request.headers.get("origin") or request.headers.get("referer", "")
        ours = {request.url.netloc, urlsplit(self._settings.address).netloc}
        return bool(origin) and origin != "null" and urlsplit(origin).netloc in ours

    # -- cookies -------------------------------------------------------------------------------------------------------

    def keep(self, request: Request, answer: Response, name: str, value: str) -> Response:
        """Sets the cookie of a sign-in."""
        return self._set(request, answer, name, value, MONTH)

    def drop(self, request: Request, answer: Response, name: str) -> Response:
        """Takes it back."""
        return self._set(request, answer, name, "", 0)

    def keep_way(self, request: Request, answer: Response, verifier: str, next: str, draft: str) -> Response:
        """Sets the cookie of a sign-in that goes on elsewhere."""
        way = Way(verifier, next, draft)
        if len(_packed(way)) > ROOM:
            way = Way(verifier, next.split("?")[0][:200], draft[:80])
        return self._set(request, answer, WAY, _packed(way), HOUR, "/auth")

    def drop_way(self, request: Request, answer: Response) -> Response:
        """Takes it back."""
        return self._set(request, answer, WAY, "", 0, "/auth")

    def way(self, request: Request) -> Way | None:
        """What the browser kept; None where it did not begin."""
        try:
            raw = orjson.loads(base64.urlsafe_b64decode(request.cookies.get(WAY, "")))
            return Way(str(raw["verifier"]), path(str(raw["next"])), str(raw["draft"]))
        except (ValueError, KeyError, TypeError, binascii.Error):
            return None

    def _set(self, request: Request, answer: Response, name: str, value: str, age: int, under: str = "/") -> Response:
        parts = [f"{name}={value}", f"Path={under}", f"Max-Age={age}", "HttpOnly"]
        if self._settings.framed:
            parts += ["SameSite=None", "Secure", "Partitioned"]  # (http.cookies knows the last since Python 3.14)
        else:
            parts += ["SameSite=Lax", *(["Secure"] if self.address(request).startswith("https://") else [])]
        answer.headers.append("set-cookie", "; ".join(parts))
        return answer


def _packed(way: Way) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(asdict(way))).decode()
