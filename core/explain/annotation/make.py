"""Annotations of a whole source: two walks over its non-zeros, in blocks of features.

The first walk learns every feature's rule and adds up the tokens' profiles; the second scores the rules beside the
control's, gathers the evidence, sorts it into meanings and puts it all into words. Between them stand the rules of all
features and one profile for each token of the vocabulary; nothing grows with features times tokens.

Cost: on one core some ten milliseconds a feature at 131,072 tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.explain.annotation import evidence, meanings, rules, spoken
from core.explain.annotation.corpus import Corpus
from core.explain.annotation.evidence import Evidence
from core.explain.annotation.kinds import Judge
from core.explain.annotation.spoken import Spoken
from core.explain.annotation.words import Names
from core.kernel import F32, I64, U32, Bool
from core.store.grouped import Grouped

BLOCK = 1024
"""Features at once."""
ENRICHED = 10
"""Enriched categories of a feature that are kept."""
LEAST = -60_000.0
"""Of log10 p: what float16 can hold."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What the first walk leaves."""

    rules: rules.Rules
    profiles: F32
    most: F32
    """[features]: the largest size of a value."""
    other: I64
    """[features]: whose rule is the control; itself where there is no other."""


def annotate(
    entries: Grouped, corpus: Corpus, *, seed: int = 0, tell: Callable[[float, float], None] | None = None
) -> Iterator[dict[str, list[Any]]]:
    """The annotations of every feature, as columns of `files.SCHEMA`, a block of features at a time.

    This is what the benchmark measures: `for block in annotate(Grouped(offsets, positions, values), corpus(…)): pass`.
    `tell` gets (done, of) features.
    """
    width = entries.width
    learned = _learn(entries, corpus, seed, lambda done: tell(done / 2, width) if tell else None)
    facts, names = evidence.properties(corpus), Names(corpus)
    texts = [names.name(c) for c in range(int(corpus.base[1]))]
    spelt, judge = meanings.spelling(texts), Judge(corpus, facts, names)
    for begin, end, offsets, positions, values in _blocks(entries):
        found = evidence.gather(offsets, positions, values, corpus, facts)
        yield _columns(begin, end, offsets, positions, values, corpus, found, learned, spelt, judge, names)
        if tell:
            tell((width + end) / 2, width)


def _blocks(entries: Grouped) -> Iterator[tuple[int, int, I64, U32, F32]]:
    """(first, after the last, offsets, positions, values) of each block, copied into memory."""
    for begin in range(0, entries.width, BLOCK):
        end = min(begin + BLOCK, entries.width)
        some = entries.block(begin, end)
        yield begin, end, some.offsets, some.positions, some.values


def _learn(entries: Grouped, corpus: Corpus, seed: int, tell: Callable[[int], None]) -> Learned:
    token, totals = corpus.ids[0], (corpus.train + corpus.test)[: corpus.base[1]]
    profiles = np.zeros((int(corpus.base[1]), meanings.DIMENSIONS), np.float32)
    learned, most = [], []
    for begin, end, offsets, positions, values in _blocks(entries):
        learned.append(rules.learn(offsets, positions, values, corpus))
        meanings.add_profiles(offsets, positions, values, token, meanings.signs(begin, end - begin), profiles)
        most.append(_most(offsets, values))
        tell(end)
    whole = rules.joined(learned)
    there = np.flatnonzero(whole.attribute[:, 0, 0] >= 0)
    other = np.arange(len(whole.attribute))
    drawn = np.random.default_rng(seed).permutation(there)
    other[drawn] = np.roll(drawn, 1)  # one cycle: nobody is his own control
    without = np.setdiff1d(other, there)
    if len(there):
        other[without] = there[without % len(there)]
    return Learned(whole, meanings.centred(profiles, totals), np.concatenate(most), other)


def _most(offsets: I64, values: F32) -> F32:
    """[features]: the largest size of a value; 1 for a feature that has none."""
    result = np.ones(len(offsets) - 1, np.float32)
    some = np.diff(offsets) > 0
    if some.any():
        result[some] = np.maximum.reduceat(np.abs(values), offsets[:-1][some])
    return np.maximum(result, np.float32(1e-30))


def _columns(
    begin: int, end: int, offsets: I64, positions: U32, values: F32, corpus: Corpus, found: Evidence,
    learned: Learned, spelt: F32, judge: Judge, names: Names,
) -> dict[str, list[Any]]:  # fmt: skip
    """One block in words and figures."""
    block = learned.rules[begin:end]
    kinds = [judge.kind(found, f) for f in range(end - begin)]
    said = spoken.gather(offsets, positions, values, corpus, block)
    whole = [names.rule(block.attribute[f], block.size[f], block.sets[f]) for f in range(end - begin)]
    columns: dict[str, list[Any]] = {
        "line": [
            _line(names, block, said, f, int(found.active[f]), judge.usual_part(found, f)) for f in range(end - begin)
        ],
        "kind": [kind for kind, _ in kinds],
        "test": [test for _, test in kinds],
        "clause": whole,
        "clause_fits": [block.clause[f, : len(c), 2].tolist() for f, c in enumerate(whole)],
        "clause_active": [block.clause[f, : len(c), 3].tolist() for f, c in enumerate(whole)],
    }
    columns |= _scores(begin, end, offsets, positions, corpus, learned)
    columns |= _enriched(found, corpus, names)
    columns |= _meanings(begin, end, offsets, positions, values, corpus, found, learned, spelt, names)
    return columns


def _line(names: Names, block: rules.Rules, said: Spoken, f: int, active: int, place: str) -> str:
    """What a feature is called."""
    line = names.line(block.attribute[f], block.size[f], block.sets[f], said, f, place=place)
    if block.attribute[f, 0, 0] >= 0:
        return line
    return f"too rare for a rule; active on {line}" if active else "never active on these texts"


def _scores(
    begin: int, end: int, offsets: I64, positions: U32, corpus: Corpus, learned: Learned
) -> dict[str, list[Any]]:
    """How the rules do on held-out tokens, and how others' rules do."""
    every, other = learned.rules, learned.other[begin:end]
    active, hit, false, counted = every.test[begin:end].T
    score = rules.balanced(active, hit, false, counted)
    crossed = rules.crossed(offsets, positions, corpus, every, other)
    wrong = every.test[other, 1] + every.test[other, 2] - crossed
    control = rules.balanced(active, crossed, wrong, counted)
    control[other == np.arange(begin, end)] = np.nan
    return {
        "train_active": every.train[begin:end, 0].tolist(), "test_active": active.tolist(), "found": hit.tolist(),
        "false": false.tolist(), "test_tokens": counted.tolist(), "score": score.tolist(),
        "control": control.tolist(), "control_of": other.tolist(),
    }  # fmt: skip


def _enriched(found: Evidence, corpus: Corpus, names: Names) -> dict[str, list[Any]]:
    """The surest enriched categories of each feature, at most three of an attribute."""
    totals = corpus.train + corpus.test
    keep = ("attribute", "name", "seen", "tokens", "log10_p")
    columns: dict[str, list[Any]] = {f"enriched_{k}": [] for k in keep}
    for f in range(len(found.active)):
        ids, p, seen = (a[f][:, :3].ravel() for a in (found.enriched, found.log10_p, found.seen))
        order = [i for i in np.argsort(p, kind="stable") if ids[i] >= 0][:ENRICHED]
        marked = [int(totals[ids[i]]) for i in order]
        columns["enriched_attribute"].append([int(i) // 3 for i in order])
        columns["enriched_name"].append([names.name(int(ids[i])) for i in order])
        columns["enriched_seen"].append([int(seen[i]) for i in order])
        columns["enriched_tokens"].append(marked)
        columns["enriched_log10_p"].append([np.float16(max(p[i], LEAST)) for i in order])
    return columns


def _meanings(
    begin: int, end: int, offsets: I64, positions: U32, values: F32, corpus: Corpus, found: Evidence,
    learned: Learned, spelt: F32, names: Names,
) -> dict[str, list[Any]]:  # fmt: skip
    """Each feature's meanings with labels, shares and scores."""
    totals, token = corpus.train + corpus.test, corpus.ids[0]
    projection = meanings.signs(begin, end - begin)
    which = meanings.cluster(found, learned.most[begin:end], learned.profiles, spelt, totals, projection)
    owner, rank, starts, some = meanings.members(found, which, offsets, positions, token)
    learnt = rules.learn(starts, positions[some], values[some], corpus, clauses=1)
    said = spoken.gather(starts, positions[some], values[some], corpus, learnt)
    active, hit, false, counted = learnt.test.T
    score = rules.balanced(active, hit, false, counted)
    keep = ("label", "tokens", "share", "score", "precision", "active", "size", "prompt", "position", "value")
    columns: dict[str, list[Any]] = {f"meaning_{k}": [[] for _ in range(end - begin)] for k in keep}
    peaks = _values(offsets, positions, values)
    for m, (f, r) in enumerate(zip(owner.tolist(), rank.tolist(), strict=True)):
        mine: Bool = which[f] == r
        label = names.line(learnt.attribute[m], learnt.size[m], learnt.sets[m], said, m, lead=False)
        tokens = [names.name(int(c)) for c in found.types[f][mine][:8]]
        best = found.type_peak[f][mine]
        best = [p for _, p in sorted((-abs(peaks(f, p)), p) for p in best.tolist())][:2]
        prompts = [int(np.searchsorted(corpus.starts, p, side="right")) - 1 for p in best]
        fits = int(hit[m] + false[m])
        for name, value in {
            "label": label or " · ".join(tokens[:4]), "tokens": "\t".join(tokens),
            "share": float(found.type_mass[f][mine].sum() / found.mass[f]) if found.mass[f] else 0.0,
            "score": float(score[m]), "precision": float(hit[m] / fits) if fits else float("nan"),
            "active": int(active[m]), "size": len(best),
        }.items():  # fmt: skip
            columns[f"meaning_{name}"][f].append(value)
        columns["meaning_prompt"][f] += prompts
        columns["meaning_position"][f] += [p - int(corpus.starts[n]) for p, n in zip(best, prompts, strict=True)]
        columns["meaning_value"][f] += [peaks(f, p) for p in best]
    return columns


def _values(offsets: I64, positions: U32, values: F32) -> Callable[[int, int], float]:
    """The value of a feature of the block at a token."""

    def at(f: int, p: int) -> float:
        part: NDArray[np.uint32] = positions[offsets[f] : offsets[f + 1]]
        return float(values[offsets[f] + int(np.searchsorted(part, p))])

    return at
