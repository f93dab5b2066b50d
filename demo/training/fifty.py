"""Draws fifty living SAE features of the demo with a fixed seed and prints what a reader needs to say what each means.

Cost: seconds.

    python -m demo.training.fifty
"""

from __future__ import annotations

import random

from core.records import FeatureKey, FeatureRecord
from core.workbench import Workbench

SEED, COUNT, CONTEXTS, BEFORE, AFTER = 2026, 50, 7, 14, 5


def draw(bench: Workbench) -> list[FeatureKey]:
    """The fifty, in order of source and index."""
    living: list[FeatureKey] = []
    for source in bench.sources(model_id="scribe-4l", set_name="res"):
        table = bench.features(source.key)
        name = source.key
        living += [FeatureKey(name.model_id, name.source_id, int(i)) for i in table["index"][table["active"] > 0]]
    return sorted(random.Random(SEED).sample(living, COUNT))


def describe(record: FeatureRecord) -> str:
    """Label, density, promoted tokens and contexts from the top and from the middle of the range."""
    lines = [f"## {record.key}  {record.label}  ({record.density:.3%}, max {record.maximum:.2f})"]
    lines.append("promotes " + " ".join(repr(t.token.text) for t in record.top_logits[:6]))
    for group in record.groups:
        if group.kind == "diverse" or (group.kind == "interval" and group.low > 0.3 * record.maximum):
            for e in group.examples[: CONTEXTS if group.kind == "diverse" else 1]:
                texts = ["" if t.special else t.text for t in e.tokens]
                before, after = texts[max(0, e.position - BEFORE) : e.position], texts[e.position + 1 :][:AFTER]
                line = "".join(before) + "⟦" + texts[e.position] + "⟧" + "".join(after)
                lines.append(f"  {e.value:6.2f} ×{e.repeats} {e.part:9s} {line!r}")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    bench = Workbench()
    for key in draw(bench):
        print(describe(bench.feature(key)) + "\n")


if __name__ == "__main__":
    main()
