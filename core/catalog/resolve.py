"""Reads what a person pastes when they mean a feature or a source.

Understood: `gpt2-small/8-res-jb/123`, `gpt2-small@8-res-jb:123`, `8-res-jb:123`, `8-res-jb/123`, `8-res-jb`, a bare
index beside a known source, and links of Neuronpedia or of this workbench to a page, an embed or the API, whatever
their host and query, with or without `https://`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from core.errors import BadInput, NotFound
from core.records import FeatureKey, SourceKey

_HOST = re.compile(r"(?:localhost|[\w.-]+\.[a-z]{2,}|[\d.]{7,15})(?::\d+)?/(?:[^/]+/[^/]+/|feature\?)", re.IGNORECASE)
"""The beginning of a link without its scheme; `model.id/8-res/5` is none, since a link has one part more."""
_HINT = "Paste <model>/<source>/<index>, <source>:<index>, an index alone, or a link to a feature."


def resolve(
    text: str, known: Sequence[SourceKey], near: SourceKey | FeatureKey | None = None
) -> FeatureKey | SourceKey:
    """The key that `text` names among the `known` sources; `near` is where the person is, for partial names.

    Raises:
        BadInput: the text names nothing readable.
        NotFound: it reads well, but no such source is here, or several are.
    """
    parts = _parts(text)
    here = near.source if isinstance(near, FeatureKey) else near
    index = None
    if parts and re.fullmatch(r"[0-9]{1,12}", parts[-1]):
        index = int(parts.pop())
    if not parts and index is not None:
        if here is None:
            raise BadInput(f"“{index}” is an index, but of which source? {_HINT}")
        source = here
    elif len(parts) == 1:
        source = _one(parts[0], known, here)
    elif len(parts) == 2:
        source = SourceKey(parts[0], parts[1])
        if source not in known:
            raise NotFound(f"{source} is not here. {_near(known)}")
    else:
        raise BadInput(f"“{text.strip()[:80]}” does not name a feature. {_HINT}")
    return source if index is None else FeatureKey(source.model_id, source.source_id, index)


def _parts(text: str) -> list[str]:
    """The path segments that matter, of a link or an id."""
    text = text.strip()
    if _HOST.match(text):
        text = f"//{text}"
    if "?" in text or "//" in text:
        try:
            url = urlsplit(text if "//" in text else f"//host/{text.lstrip('/')}")
            query = parse_qs(url.query).get("id")
        except ValueError as error:
            raise BadInput(f"“{text[:80]}” is no link that can be read. {_HINT}") from error
        text = query[0] if query else unquote(url.path)
        text = re.sub(r"^/?(?:f|embed/(?:tester|steer)|api/feature)/", "", text)
    return [p for p in re.split(r"[/@:\s]+", text) if p]


def _one(name: str, known: Sequence[SourceKey], here: SourceKey | None) -> SourceKey:
    """The only source called `name`, of the model at hand if several models have it."""
    found = [k for k in known if k.source_id == name]
    beside = [k for k in found if here is not None and k.model_id == here.model_id]
    if len(beside or found) == 1:
        return (beside or found)[0]
    if found:
        raise NotFound(f"Several models have a source “{name}”: {', '.join(map(str, found))}. Write <model>/{name}.")
    raise NotFound(f"There is no source “{name}” here. {_near(known)}")


def _near(known: Sequence[SourceKey]) -> str:
    names = ", ".join(map(str, known[:12]))
    return f"There is: {names}{', …' if len(known) > 12 else ''}." if known else "Nothing has been built yet."
