"""A feature's record, a feature's page and the start of the process, against the budgets of the design.

The record is read from sources of 25,000 and 300,000 features, made by repeating the rows of a demo source. The page is
opened in Chromium on a warm server, a new tab for each feature, until everything on it stands and its script has ended.
The start is that of `python app.py` until the home page stands. Takes two minutes; needs Chromium for the last two.
"""

from __future__ import annotations

import gc
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from benchmarks.report import Row, main
from core.catalog.manifest import read_source, write_source
from core.records import SourceKey, SourceRecord
from core.settings import Settings
from core.store import layout
from core.workbench import Workbench
from tests.live import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SMALL, LARGE = 25_000, 300_000
SETTLED = """() => document.querySelector('[data-testid=stApp][data-test-script-state=notRunning]')
  && !document.querySelector('[data-stale=true],[data-testid=stSkeleton]') && document.querySelector(%r)"""


def measure(quick: bool) -> Iterator[Row]:
    """All rows of this benchmark."""
    demo = Settings().demo
    source = next((s for s in Workbench(Settings(data=Path("/nonexistent"))).sources() if s.kind == "sae"), None)
    if demo is None or source is None:
        sys.exit("The built-in demo has no SAE to measure with: build it first (demo/README.md).")
    yield from _records(demo, source, quick)
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is not installed: the page and the start are not measured.", file=sys.stderr)
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield _start(browser, demo, 2 if quick else 5)
        yield from _pages(browser, demo, source, 8 if quick else 40)


# -- records -----------------------------------------------------------------------------------------------------------


def _records(demo: Path, source: SourceRecord, quick: bool) -> Iterator[Row]:
    """Both sizes are asked in turns, so that the machine's other work falls on both."""
    count = 300 if quick else 2000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        small, large = (_widened(demo, source, root, width) for width in (SMALL, LARGE))
        bench = Workbench(Settings(data=root, demo=None))
        times: dict[SourceKey, list[float]] = {small: [], large: []}
        draw = random.Random(0)
        for key in times:
            bench.feature(f"{key}/0")  # opens the files
        gc.collect()
        for _ in range(count):
            for key, kept in times.items():
                index = draw.randrange(bench.source(key).width)
                began = time.perf_counter()
                bench.feature(f"{key}/{index}")
                kept.append(1000 * (time.perf_counter() - began))
    middle = {key: statistics.median(kept) for key, kept in times.items()}
    yield Row(what=f"feature record of {LARGE:,}, p50", ours=middle[large], unit="ms", budget="")
    yield Row(what=f"feature record of {LARGE:,}, p99", ours=_high(times[large]), unit="ms", budget="<= 10")
    yield Row(
        what=f"feature record, p50 of {LARGE:,} against {SMALL:,}",
        ours=middle[large],
        yardstick=middle[small],
        ratio=middle[large] / middle[small],
        unit="ms",
        budget="<= 1.1",
    )


def _high(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _widened(demo: Path, source: SourceRecord, root: Path, width: int) -> SourceKey:
    """A source of `width` features in `root`: the rows of the demo's, over and over, uncompressed as a build's are."""
    key = SourceKey(source.key.model_id, f"{source.layer}-wide__{width}")
    model, made = demo / key.model_id, root / key.model_id / key.source_id
    made.mkdir(parents=True)
    for path in model.iterdir():
        if path.is_file():
            shutil.copy(path, made.parent)
    old = model / source.key.source_id
    shutil.copy(old / layout.PROMPTS, made)
    for name in (layout.FEATURES, layout.EXAMPLES):
        rows = pa.ipc.open_file(pa.memory_map(str(old / name))).read_all().combine_chunks()
        layout.write_batches(made / name, rows.schema, _repeated(rows, width), compact=False)
    manifest = read_source(old / "source.json")
    record = replace(manifest.record, key=key, width=width)
    write_source(made / "source.json", replace(manifest, record=record, checksums={}))
    return key


def _repeated(rows: pa.Table, count: int) -> Iterator[pa.RecordBatch]:
    for batch in cycle(rows.to_batches()):
        if count <= 0:
            return
        yield batch.slice(0, count)
        count -= batch.num_rows


# -- pages -------------------------------------------------------------------------------------------------------------


def _start(browser: Browser, demo: Path, times: int) -> Row:
    """From starting the process to the home page standing in an open browser."""
    taken = []
    for _ in range(times):
        began = time.monotonic()
        with _server(demo) as server:
            _open(browser, server.url + "/", "h1,h2,h3")
            taken.append(time.monotonic() - began)
    return Row(what="process start to first page, p50", ours=statistics.median(taken), unit="s", budget="<= 5")


def _pages(browser: Browser, demo: Path, source: SourceRecord, count: int) -> Iterator[Row]:
    draw = random.Random(1)
    with _server(demo) as server:
        taken = []
        for number in range(count + 2):
            index = draw.randrange(source.width)
            seconds = _open(browser, f"{server.url}/feature?id={source.key}/{index}", ".st-key-fs-export")
            if number >= 2:  # the first two warm the server and the browser
                taken.append(seconds)
    yield Row(what="feature page complete, p50", ours=statistics.median(taken), unit="s", budget="<= 1")
    yield Row(what="feature page complete, slowest", ours=max(taken), unit="s", budget="")


def _open(browser: Browser, url: str, last: str) -> float:
    """Seconds until the page stands, in a tab of its own with an empty session; the browser's file cache is warm."""
    page = browser.contexts[0].new_page() if browser.contexts else browser.new_context().new_page()
    try:
        began = time.monotonic()
        page.goto(url, wait_until="commit")
        page.wait_for_function(SETTLED % last, timeout=60_000, polling=20)
        return time.monotonic() - began
    finally:
        page.close()


@contextmanager
def _server(demo: Path) -> Iterator[Server]:
    """`python app.py` on the demo alone."""
    with tempfile.TemporaryDirectory() as empty, Server(Path(empty), demo=str(demo)) as server:
        yield server


if __name__ == "__main__":
    sys.exit(main("Feature record, feature page, start of the process.", measure))
