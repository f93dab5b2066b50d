"""Markdown of strangers as HTML that cannot run anything: comments, descriptions, notes, what people say of themselves.

CommonMark by markdown-it-py with raw HTML switched off, so that a tag is shown as the text it is. What is left is made
harmless by kind: a link leads to the web, to a mail address or to a page of this server and passes nothing on; an image
is a link to it, since loading one would tell its host who reads; a heading is never larger than the page's own; code
keeps no class. Whoever shows the result relies on nothing else, yet Streamlit cleans it once more. Cost: below a
millisecond for a page of text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

LARGEST = 4
"""The largest heading is an `h4`: a page has an `h1` and its cards have `h2`."""
REL = "nofollow ugc noopener noreferrer"
_SCHEMES = frozenset({"http", "https", "mailto"})
_NO_HOST = re.compile(r"/(?![/\\])")
"""A path of this server; two slashes, or one of each kind, are another host to a browser."""
_STRAY = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
"""Browsers leave these out of an address, so that a scheme can be hidden behind them."""


def html(text: str) -> str:
    """The text as HTML without a wrapper; empty for none."""
    return str(_parser().render(text)).strip()


def plain(text: str, longest: int = 0) -> str:
    """What it says without its marks, in one line; cut after `longest` characters where that is given."""
    said = " ".join(_said(_parser().parse(text)).split())
    return said if not longest or len(said) <= longest else said[: longest - 1].rstrip() + "…"


def leads(address: str) -> bool:
    """Whether a link may lead there: http, https, mailto, or a page of this server."""
    if _STRAY.search(address) or "\\" in address:
        return False
    if address.startswith("/"):
        return bool(_NO_HOST.match(address))
    try:
        found = urlsplit(address)
    except ValueError:
        return False
    return found.scheme.lower() in _SCHEMES and bool(found.netloc or found.scheme.lower() == "mailto")


@cache
def _parser() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False, "typographer": False})
    made.enable(["strikethrough", "table"])
    made.validateLink = leads  # type: ignore[method-assign,assignment]  # how markdown-it is told
    made.core.ruler.push("featurescope", lambda state: _tame(state.tokens))
    return made


def _tame(tokens: Sequence[Token]) -> None:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + LARGEST - 1)}"
        elif token.type == "fence":
            token.info = ""
        elif token.type in ("th_open", "td_open"):
            token.attrs = {}
        elif token.children:
            token.children = _inline(token.children)


def _inline(children: Sequence[Token]) -> list[Token]:
    """Links marked as other people's; images made links, and inside of a link their words alone."""
    found: list[Token] = []
    within = 0
    for child in children:
        if child.type == "image":
            found += _picture(child) if not within else [_text(_words(child))]
            continue
        if child.type == "link_open":
            within += 1
            child.attrs = _marked(str(child.attrGet("href") or ""))
        within -= child.type == "link_close"
        found.append(child)
    return found


def _picture(image: Token) -> list[Token]:
    address = str(image.attrGet("src") or "")
    opened, closed = Token("link_open", "a", 1), Token("link_close", "a", -1)
    opened.attrs = _marked(address)
    return [opened, _text(_words(image)), closed]


def _words(image: Token) -> str:
    """What an image is called, or where it is."""
    return _said(image.children or ()).strip() or str(image.attrGet("src") or "")


def _text(content: str) -> Token:
    made = Token("text", "", 0)
    made.content = content
    return made


def _marked(address: str) -> dict[str, str | int | float]:
    made: dict[str, str | int | float] = {"href": address, "rel": REL}
    if not address.startswith("/"):
        made["target"] = "_blank"
    return made


def _said(tokens: Sequence[Token]) -> str:
    """The words of tokens, with blank space where a block or a line ends."""
    parts = []
    for token in tokens:
        if token.children:
            parts.append(_said(token.children))
        elif token.content:
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak") or (token.nesting == -1 and token.block):
            parts.append(" ")
    return "".join(parts)
