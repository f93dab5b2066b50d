"""Where somebody goes back to after signing in: a path of this site with its query, and never another site."""

from __future__ import annotations

LONGEST = 8000
"""Characters."""


def path(text: str) -> str:
    """The path as it is; the root where it is anything else, such as another site's address."""
    own = (
        text.startswith("/")
        and len(text) <= LONGEST
        and text.isprintable()  # browsers drop tabs and line breaks, and read what is left
        and "\\" not in text
        and "//" not in text.split("?")[0].split("#")[0]
        and not text.startswith("/auth/")
    )
    return text if own else "/"
