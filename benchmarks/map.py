"""Maps: how long one takes to make, and how it moves in Chromium beside a bare scatter of the same points.

`python -m benchmarks.map` makes a map of 24,576 vectors of 768 numbers (a mixture, so that there is something to lay
out), puts more among them, and finds clusters and labels. Then it draws 24,576 and 300,000 points in Chromium, as the
page does, with names, colours and a legend, and times from opening the page to the first picture, and frames while the
map is dragged. Beside it, turn by turn: a bare scatter, which is a page that draws the same points by WebGL in one
colour, and nothing else. `--json` writes what was measured, `--quick` takes fewer and smaller.

Points of Plotly's WebGL scatter, which Streamlit brings, are drawn as well, to say what a map would be with it.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.atlas.map import clusters as map_clusters
from core.atlas.map import layout as map_layout
from core.atlas.map import pack as map_pack
from core.atlas.map.files import steps
from core.atlas.map.maps import framed
from core.atlas.map.records import Cluster, MapRecord
from core.records import SourceKey
from core.terminal import table

WIDTH, HEIGHT = 1440, 900
PAGES = Path(__file__).with_name("map_pages")
POINTS = (24_576, 300_000)
WORDS = "river war colour music law bread winter letter number family city engine market garden island treaty".split()


def mixture(rows: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """Vectors around 200 directions."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(200, width))
    return np.asarray(centres[draw.integers(200, size=rows)] + 1.6 * draw.normal(size=(rows, width)), np.float32)


def making(quick: bool) -> dict[str, Any]:
    """Seconds of each part of a map."""
    rows, width, more = (4096, 256, 2048) if quick else (24_576, 768, 8192)
    vectors = mixture(rows + more, width)
    map_layout.place(vectors[:1000])  # compiles the loops, once a process
    began = time.monotonic()
    layout = map_layout.place(vectors[:rows], fit=rows)
    fit = time.monotonic() - began
    began = time.monotonic()
    map_layout.place(vectors, fit=rows)
    both = time.monotonic() - began
    began = time.monotonic()
    found, _ = map_clusters.find(layout.xy, layout.fitted)
    clusters = time.monotonic() - began
    return {
        "points": rows, "width": width, "fit_s": fit, "transformed_per_s": more / max(both - fit, 1e-9),
        "clusters_s": clusters, "clusters": len(found),
    }  # fmt: skip


def synthetic(n: int) -> tuple[map_pack.Packed, NDArray[np.float32]]:
    """A map of `n` points in 60 clusters, as the page gets it, and its points."""
    draw = np.random.default_rng(1)
    centres = draw.uniform(-0.9, 0.9, size=(60, 2))
    own = draw.integers(60, size=n)
    xy = framed((centres[own] + 0.07 * draw.normal(size=(n, 2))).astype(np.float32))
    clusters = tuple(
        Cluster(
            id=c, level=c % 3, words=(WORDS[c % len(WORDS)], WORDS[(c * 7) % len(WORDS)]), parent=None,
            x=float(np.median(xy[own == c, 0])), y=float(np.median(xy[own == c, 1])), size=int((own == c).sum()),
        )
        for c in range(60)
    )  # fmt: skip
    each = np.stack([np.where(own % 3 == level, own, -1) for level in range(3)]).astype(np.int16)
    arrays = {
        "xy": np.stack([steps(xy[:, 0]), steps(xy[:, 1])], axis=1).reshape(-1),
        "source": (own % 12).astype(np.uint8), "index": np.arange(n, dtype=np.uint32),
        "density": draw.integers(1, 255, size=n).astype(np.uint8), "score": draw.integers(1, 255, n).astype(np.uint8),
        "kind": (1 + own % 8).astype(np.uint8), "method": np.ones(n, np.uint8), "clusters_of": each.reshape(-1),
    }  # fmt: skip
    keys = tuple(SourceKey("bench", f"{layer}-res") for layer in range(12))
    record = MapRecord(
        of="decoder", sources=keys, name="", source=arrays["source"], index=arrays["index"], x=xy[:, 0], y=xy[:, 1],
        cluster=each, clusters=clusters, fitted=n, dead=0, unsaid=0, seed=0, made="", seconds=0.0,
    )  # fmt: skip
    texts = [f"{WORDS[c % 16]}\tone · two\twords about {WORDS[c % 16]}" for c in own.tolist()]
    kinds = [f"kind {k}" for k in range(8)]
    return map_pack.packed(record, arrays, kinds, ["annotation"], texts), xy


def moving(n: int, quick: bool, browser: Any, folder: Path) -> dict[str, Any]:
    """Drawn after so many seconds, and frames a second, of the map and of bare scatters of the same points."""
    packed, xy = synthetic(n)
    seconds, turns = (1.5, 1) if quick else (4.0, 3)
    (folder / "map.html").write_text(map_pack.to_html(packed, "Map", [f"{n:,} points"]), encoding="utf-8")
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)
    page.goto((folder / "map.html").as_uri())
    page.wait_for_selector("[data-ready=true]")
    w, h, size, scale = page.evaluate(
        "(() => { const s = window.map.look; return [s.width, s.height, s.size, s.scale] })()"
    )
    page.close()
    values: dict[str, Any] = {"w": round(w), "h": round(h), "size": size, "sx": 2 * scale / w, "sy": 2 * scale / h}
    values["xy"] = base64.b64encode(np.ascontiguousarray(xy, "<f4").tobytes()).decode()
    _fill("bare.html", folder, values)
    plotly = _plotly(folder)
    _fill("plotly.html", folder, values)
    drag = (PAGES / "drag.js").read_text(encoding="utf-8")
    step = f"(n => window.at(-220 / {scale} * Math.sin(n / 25), 90 / {scale} * Math.sin(n / 40)))"
    kinds = {"map": ("[data-drawn]", drag), "bare": ("done", step)} | ({"plotly": ("done", step)} if plotly else {})
    drawn: dict[str, list[float]] = {name: [] for name in kinds}
    frames: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(turns):
        for name, (ready, move) in kinds.items():
            if name == "plotly" and turn:
                continue
            one = _one(browser, folder / f"{name}.html", ready, move, seconds)
            drawn[name].append(one[0])
            frames[name].append(one[1])
    result: dict[str, Any] = {"points": n}
    for name in kinds:
        result[f"{name}_drawn_s"] = statistics.median(drawn[name])
        result[f"{name}_frames_per_s"] = statistics.median(frames[name])
    return result | {"of_bare": result["map_frames_per_s"] / result["bare_frames_per_s"]}


def _fill(name: str, folder: Path, values: dict[str, Any]) -> None:
    page = (PAGES / name).read_text(encoding="utf-8")
    (folder / name).write_text(re.sub(r"{{(\w+)}}", lambda found: str(values[found[1]]), page), encoding="utf-8")


def _one(browser: Any, path: Path, ready: str, move: str, seconds: float) -> tuple[float, float]:
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)
    page.set_default_timeout(120_000)
    began = time.monotonic()
    page.goto(path.as_uri(), wait_until="commit")
    if ready == "done":
        page.wait_for_function("window.done")
    else:
        page.wait_for_function("document.querySelector('[data-drawn]')")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    drawn = time.monotonic() - began
    if ready != "done":
        page.wait_for_selector("[data-ready=true]")
    page.wait_for_timeout(800)
    frames = page.evaluate((PAGES / "pan.js").read_text(encoding="utf-8"), [seconds, move])
    page.close()
    return drawn, frames


def _plotly(folder: Path) -> bool:
    try:
        import plotly
    except ImportError:
        return False
    found = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    if found.exists():
        shutil.copy(found, folder / "plotly.js")
    return found.exists()


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes, and says so on standard output."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=("make", "move"))
    asked = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    if asked.only != "move":
        result["making"] = making(asked.quick)
    if asked.only != "make":
        result["moving"] = _moving(asked.quick)
    print(json.dumps(result, indent=1) if asked.json else _text(result))
    return 0


def _moving(quick: bool) -> list[dict[str, Any]]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    counts = (2_000, 24_576) if quick else POINTS
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as name:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        found = [moving(n, quick, browser, Path(name)) for n in counts]
        browser.close()
    return found


def _text(result: dict[str, Any]) -> str:
    lines: list[str] = []
    if made := result.get("making"):
        lines.append(
            f"a map of {made['points']:,} vectors of {made['width']} numbers: {made['fit_s']:.1f} s, "
            f"clusters {made['clusters_s']:.1f} s; put among them: {made['transformed_per_s']:,.0f} points a second"
        )
    if moved := result.get("moving"):
        shown: Callable[[float], str] = lambda v: f"{v:.1f}"  # noqa: E731
        rows = [
            (f"{one['points']:,}", name, shown(one[f"{name}_drawn_s"]), shown(one[f"{name}_frames_per_s"]))
            for one in moved
            for name in ("map", "bare", "plotly")
            if f"{name}_drawn_s" in one
        ]
        lines.append(table(("points", "page", "drawn after s", "frames a second"), rows))
        lines += [f"{one['points']:,} points: {one['of_bare']:.2f} of the bare scatter" for one in moved]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
