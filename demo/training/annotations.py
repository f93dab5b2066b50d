"""The annotations of the demo: how good they are, drawn and in figures, and thirty of them to be read.

Knows the scores that a build wrote and nothing of how they come about. Without arguments it prints the figures and
writes README's picture; `--thirty` prints thirty annotations, drawn with a fixed seed from all living features of all
sources, with the contexts that a reader needs to judge them.

Cost: seconds.

    python -m demo.training.annotations [--thirty]
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from pathlib import Path
from statistics import median

from core.explain.records import Annotation
from core.records import FeatureKey, FeatureRecord, SourceRecord
from core.workbench import Workbench

MODEL, RELEASE, SEED, COUNT, CONTEXTS, BEFORE, AFTER = "scribe-4l", "demo", 2027, 30, 9, 12, 4
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "annotations.svg"
BINS, LOW = 35, 0.3
"""Bars of the picture between `LOW` and 1."""


def sources(bench: Workbench) -> list[SourceRecord]:
    """The model's sources that figures are given of: SAEs on the residual stream, and neurons."""
    return [source for source in bench.sources(model_id=MODEL) if source.release.name == RELEASE]


class Scores:
    """Scores and controls of the living features of some sources."""

    def __init__(self, bench: Workbench, sources: list[SourceRecord]) -> None:
        self.living = 0
        self.score: list[float] = []
        self.control: list[float] = []
        self.kinds: Counter[str] = Counter()
        for source in sources:
            found = bench.words.rule_scores(source.key)
            for score, control, train, test, kind in zip(
                *(found[n] for n in ("score", "control", "train_active", "test_active", "kind")), strict=True
            ):
                if not train + test:
                    continue
                self.living += 1
                self.kinds[str(kind)] += 1
                if not math.isnan(score):
                    self.score.append(score)
                if not math.isnan(control):
                    self.control.append(control)

    @property
    def medians(self) -> tuple[float, float]:
        """Of score and control; a living feature without a score counts as chance."""
        missing = [0.5] * (self.living - len(self.score))
        return median(self.score + missing), median(self.control)


def figures(bench: Workbench) -> Scores:
    """Prints the medians of each source, of the SAEs, of the neurons and of all; returns the last."""
    every = sources(bench)
    groups = [(s.key.source_id, [s]) for s in every]
    groups += [(name, [s for s in every if s.key.set_name == name]) for name in ("res", "neurons")]
    whole = Scores(bench, every)
    print("| source | living | scored | balanced accuracy | control | at least 0.75 |\n|---|---|---|---|---|---|")
    for name, some in [*groups, ("all", every)]:
        one = Scores(bench, some)
        score, control = one.medians
        good = sum(s >= 0.75 for s in one.score) / one.living
        print(f"| {name} | {one.living:,} | {len(one.score):,} | {score:.3f} | {control:.3f} | {good:.0%} |")
    print("\n" + ", ".join(f"{kind} {n:,}" for kind, n in whole.kinds.most_common()))
    return whole


def _bars(values: list[float]) -> list[int]:
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, int((value - LOW) / (1 - LOW) * BINS)))] += 1
    return counts


def picture(scores: Scores) -> str:
    """Both distributions as an SVG that follows the reader's colours."""
    width, height, left, top = 720, 250, 46, 34
    ours, control = _bars(scores.score), _bars(scores.control)
    most = max(*ours, *control)
    step, tall = (width - left - 16) / BINS, height - top - 40

    def at(value: float) -> float:
        return left + (value - LOW) / (1 - LOW) * BINS * step

    def bars(counts: list[int], name: str) -> str:
        parts = [
            f"M{left + n * step:.1f} {top + tall}v-{count / most * tall:.1f}h{step - 1:.1f}v{count / most * tall:.1f}z"
            for n, count in enumerate(counts)
            if count
        ]
        return f'<path class="{name}" d="{"".join(parts)}"/>'

    ticks = "".join(
        f'<text class="soft" x="{at(v / 10):.1f}" y="{top + tall + 16}" text-anchor="middle">{v / 10:.1f}</text>'
        for v in range(3, 11)
    )
    marks = "".join(
        f'<path class="mark {name}" d="M{at(value):.1f} {top - 4}V{top + tall}"/>'
        f'<text x="{at(value) + 5:.1f}" y="{top + 6}">{said} {value:.2f}</text>'
        for name, said, value in zip(("a", "c"), ("median", "control, median"), scores.medians, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-size="12.5" '
        'font-family="system-ui, sans-serif"><title>How well annotations tell where features fire, beside shuffled '
        "ones</title><style>text{fill:#1d1f21}.soft{fill:#666b70}.a{fill:#0e946e;fill-opacity:.72}"
        ".c{fill:#8a9096;fill-opacity:.5}.mark{fill:none;stroke:#0b7f5e;stroke-width:1.5}.mark.c{stroke:#666b70}"
        "@media(prefers-color-scheme:dark){text{fill:#e7e8e9}.soft{fill:#9aa0a6}.a{fill:#2ec496}}</style>"
        f'<text x="{left}" y="14">{len(scores.score):,} features of the demo by the balanced accuracy of their '
        "annotation’s rule on held-out documents</text>"
        f"{bars(control, 'c')}{bars(ours, 'a')}{marks}{ticks}"
        f'<text class="soft" x="{left - 6}" y="{top + 4}" text-anchor="end">{most:,}</text>'
        f'<text class="soft" x="{left}" y="{height - 6}">grey: the rule of another feature of the same source, drawn '
        f"at random ({max(control):,} at the highest)</text></svg>\n"
    )


def draw(bench: Workbench) -> list[FeatureKey]:
    """The thirty, by source and index."""
    living = [key for source in sources(bench) for key in bench.living(source.key)]
    return sorted(random.Random(SEED).sample(living, COUNT))


def describe(found: Annotation, record: FeatureRecord) -> str:
    """An annotation, its evidence, and contexts from the top and from the middle of the range."""
    m = found.measures
    lines = [
        f"## {record.key}  [{found.kind}]  balanced accuracy {m['balanced_accuracy']:.2f}, control "
        f"{found.control:.2f}, precision {m['precision']:.2f}, recall {m['recall']:.2f}",
        f"LINE {found.line}",
        f"TEST {found.test}",
    ]
    lines += [f"  {one.share:.0%} {one.label}  (precision {one.precision:.2f})" for one in found.meanings]
    lines.append("  " + "; ".join(f"{e.attribute} {e.name!r} {e.seen}/{e.expected:.1f}" for e in found.enrichments[:6]))
    for group in record.groups:
        if group.kind == "diverse" or (group.kind == "interval" and abs(group.low) > 0.2 * record.maximum):
            for e in group.examples[: CONTEXTS if group.kind == "diverse" else 2]:
                texts = ["" if t.special else t.text for t in e.tokens]
                before, after = texts[max(0, e.position - BEFORE) : e.position], texts[e.position + 1 :][:AFTER]
                line = "".join(before) + "⟦" + texts[e.position] + "⟧" + "".join(after)
                lines.append(f"  {e.value:6.2f} {e.part:9s} {line!r}")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="The demo's annotations: figures and picture, or thirty to be read.")
    parser.add_argument("--thirty", action="store_true")
    bench = Workbench()
    if parser.parse_args().thirty:
        for key in draw(bench):
            print(describe(bench.words.annotation(key), bench.feature(key)) + "\n")
        return
    PICTURE.write_text(picture(figures(bench)), encoding="utf-8")


if __name__ == "__main__":
    main()
