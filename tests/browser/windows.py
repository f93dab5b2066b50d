"""Windows of Chromium, each a stranger's: without cookies and storage, but what Chromium has compiled stays.

A context of Playwright's own begins with nothing, so that each window fetches and compiles Streamlit's three megabytes
again: half the time of a visit. Here a window is a whole Chromium with a profile on disk; when it is closed everything
that a page can see of it is forgotten, and the next window may be it again. Windows that are open at once are different
ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ARGUMENTS = ["--no-sandbox"]
KEPT = "local_storage,indexeddb,cache_storage,service_workers,file_systems"
"""What a page can keep in a browser besides cookies, as Chromium's protocol names it."""


class Windows:
    """Makes windows as `Browser` does; `chromium` is Playwright's browser type, `program` the one that is started."""

    def __init__(self, chromium: Any, program: str, folder: Path) -> None:
        self._start = {"executable_path": program, "args": ARGUMENTS}
        self._chromium, self._folder = chromium, folder
        self._free: dict[bool, list[Any]] = {True: [], False: []}
        self._made: list[Any] = []
        self._browser: Any = None

    def new_context(
        self, viewport: dict[str, int], color_scheme: str = "light", has_touch: bool = False
    ) -> Window:
        """A window of a stranger."""
        free = self._free[has_touch]
        return Window(free.pop() if free else self._open(has_touch), viewport, color_scheme, free.append)

    def fresh(self, **options: Any) -> Any:
        """A context of Playwright's own, which nothing was done in: for what stays with a context until its end."""
        if self._browser is None:
            self._browser = self._chromium.launch(**self._start)
        return self._browser.new_context(**options)

    def close(self) -> None:
        for one in (*self._made, self._browser):
            if one is not None:
                one.close()

    def _open(self, has_touch: bool) -> Any:
        folder = self._folder / str(len(self._made))
        made = self._chromium.launch_persistent_context(str(folder), has_touch=has_touch, **self._start)
        self._made.append(made)
        return made


class Window:
    """A context of one visit, until it is closed; the first page of each is kept empty, so that Chromium stays."""

    def __init__(self, context: Any, viewport: dict[str, int], color_scheme: str, back: Any) -> None:
        self._context, self._viewport, self._theme, self._back = context, viewport, color_scheme, back

    def new_page(self) -> Any:
        page = self._context.new_page()
        page.set_viewport_size(self._viewport)
        page.emulate_media(color_scheme=self._theme)
        return page

    def close(self) -> None:
        empty, *pages = self._context.pages
        origins = set()
        for page in pages:
            origins |= {frame.url.partition("#")[0] for frame in page.frames}
            page.close()
        wire = self._context.new_cdp_session(empty)
        for scheme, host in {urlsplit(url)[:2] for url in origins}:
            if host:
                wire.send("Storage.clearDataForOrigin", {"origin": f"{scheme}://{host}", "storageTypes": KEPT})
        wire.detach()
        self._context.clear_cookies()
        self._context.clear_permissions()
        self._back(self._context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
