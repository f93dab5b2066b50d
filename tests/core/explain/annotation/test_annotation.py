"""Annotations against counting by hand: every figure from plain Python loops over texts with planted features."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from core.explain.annotation import evidence, make, meanings, rules
from core.explain.annotation.attributes import ATTRIBUTES
from core.explain.annotation.figures import interval, log_odds
from core.explain.annotation.statistics import association, log10_normal_tail, log10_tail, stratum
from core.explain.annotation.words import Names
from tests.core.explain.annotation.planted import ID, PIECES, planted, stored, texts

TEXTS = texts()
CORPUS = TEXTS.corpus()
FEATURES = planted(TEXTS)
NAMES = list(FEATURES)
ENTRIES = stored(list(FEATURES.values()))


def annotated(entries=ENTRIES, **more):
    blocks = list(make.annotate(entries, CORPUS, **more))
    return {name: [row for block in blocks for row in block[name]] for name in blocks[0]}


@pytest.fixture(scope="module")
def made():
    return annotated()


def of(made, name):
    n = NAMES.index(name)
    return {column: values[n] for column, values in made.items()}


# -- attributes --------------------------------------------------------------------------------------------------------


def fold(i):
    return PIECES[i].strip().lower() or PIECES[i]


def naive(row, p, part):
    """The attributes of one token, spelt out."""
    before = [fold(i) for i in row[1:p]]
    head = p
    while (
        head > 1
        and PIECES[row[head]][0] != " "
        and PIECES[row[head]][0].isalnum()
        and PIECES[row[head - 1]][-1].isalnum()
    ):
        head -= 1
    runs = 0
    for s in range(1, p):
        k = 0
        while k < 3 and s - k >= 1 and row[s - k] == row[p - k]:
            k += 1
        runs = max(runs, k)
    since = next((p - 1 - q for q in range(p - 1, 0, -1) if "\n" in PIECES[row[q]]), None)
    return {
        "token": fold(row[p]), "prev": before[-1] if before else None, "prev2": before[-2] if len(before) > 1 else None,
        "pair": (before[-1] if before else None, fold(row[p])), "word": tuple(fold(i) for i in row[head : p + 1]),
        "place": p if p < 5 else 5 + math.ceil(math.log2(p / 4)), "line": 7 if since is None else min(since, 6),
        "repeat": runs, "part": part,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["token", "prev", "prev2", "pair", "word", "place", "line", "repeat", "part"])
def test_an_attribute_sorts_tokens_as_its_words_say(name):
    k = ATTRIBUTES.index(name)
    pairs = set()
    for n, row in enumerate(TEXTS.prompts):
        for p in range(1, len(row)):
            t = int(TEXTS.starts[n]) + p
            pairs.add((int(CORPUS.ids[k, t]), naive(row, p, TEXTS.parts[n])[name]))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)  # one to one


def test_special_tokens_are_not_counted_and_whole_documents_are_held_out():
    held = CORPUS.held[TEXTS.starts[:-1]]
    by_document = {}
    for document, one in zip(TEXTS.documents, held, strict=True):
        assert by_document.setdefault(document, one) == one
    assert sum(by_document.values()) == round(0.3 * len(by_document))
    assert sum(CORPUS.sizes) == sum(len(row) - 1 for row in TEXTS.prompts)
    assert not CORPUS.counted[TEXTS.starts[:-1]].any()


def test_the_held_out_documents_do_not_depend_on_their_order():
    turned = type(TEXTS)(TEXTS.prompts[::-1], TEXTS.documents[::-1], TEXTS.parts[::-1]).corpus()
    mine = {d for d, s in zip(TEXTS.documents, TEXTS.starts, strict=False) if CORPUS.held[s]}
    theirs = {d for d, s in zip(TEXTS.documents[::-1], turned.starts, strict=False) if turned.held[s]}
    assert mine == theirs


# -- statistics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "drawn", "marked", "total"),
    [
        (5, 10, 20, 100),
        (1, 10, 20, 100),
        (10, 10, 20, 100),
        (2, 10, 20, 100),
        (40, 300, 60, 5000),
        (0, 3, 4, 9),
        (7, 7, 7, 7),
    ],
)
def test_the_tail_is_the_hypergeometric_one(seen, drawn, marked, total):
    assert 10 ** log10_tail(seen, drawn, marked, total) == pytest.approx(
        stats.hypergeom.sf(seen - 1, total, marked, drawn)
    )


def test_a_tail_beyond_what_a_float_holds_is_still_told():
    assert log10_tail(3000, 3000, 3000, 300_000) < -1000
    assert log10_normal_tail(60.0) == pytest.approx(stats.norm.logsf(60.0) / math.log(10), rel=1e-3)
    assert log10_normal_tail(3.0) == pytest.approx(stats.norm.logsf(3.0) / math.log(10))


def test_log_odds_add_half_to_each_cell():
    assert log_odds(5, 10, 20, 100) == pytest.approx(math.log(5.5 * 75.5 / (5.5 * 15.5)))


def test_the_association_is_the_mantel_haenszel_test():
    tables = [(8, 10, 20, 40), (3, 6, 9, 30), (0, 2, 1, 1)]  # both, active, marked, total
    sums = np.zeros(6)
    for table in tables:
        stratum(*map(float, table), sums)
    seen = sum(b for b, *_ in tables)
    expected = sum(a * m / t for _, a, m, t in tables)
    variance = sum(a * (t - a) * m * (t - m) / (t * t * (t - 1)) for _, a, m, t in tables if t > 1)
    odds, p = association(sums)
    assert p == pytest.approx(stats.norm.logsf((seen - expected - 0.5) / math.sqrt(variance)) / math.log(10))
    up = sum(b * (t - a - m + b) / t for b, a, m, t in tables)
    down = sum((a - b) * (m - b) / t for b, a, m, t in tables)
    assert odds == pytest.approx((up + 0.5) / (down + 0.5))


# -- enrichment --------------------------------------------------------------------------------------------------------


def test_enrichment_is_counted_as_by_hand(made):
    """Seen, expected, tokens and the corrected p of every enriched token of every feature."""
    counted = sum(CORPUS.sizes)
    tokens = Counter(fold(i) for row in TEXTS.prompts for i in row[1:])
    checked = 0
    for n, name in enumerate(NAMES):
        mine = Counter(fold(int(TEXTS.tokens[p])) for p, _ in FEATURES[name])
        active = sum(mine.values())
        rows = zip(
            *(made[f"enriched_{c}"][n] for c in ("attribute", "name", "seen", "tokens", "log10_p")),
            strict=True,
        )
        for attribute, word, seen, total, p in rows:
            if ATTRIBUTES[attribute] != "token" or not word.strip("↵"):
                continue
            assert (seen, total) == (mine[word], tokens[word])
            exact = stats.hypergeom.logsf(seen - 1, counted, total, active) / math.log(10) + math.log10(CORPUS.base[-1])
            assert p == pytest.approx(exact, rel=1e-3)  # kept in float16
            assert p < evidence.SURE
            checked += 1
    assert checked >= 7


def test_what_fires_at_random_is_enriched_in_nothing():
    rng = np.random.default_rng(0)
    some = np.flatnonzero(CORPUS.counted)
    entries = stored([[(int(p), 1.0) for p in sorted(rng.choice(some, 80, replace=False))] for _ in range(50)])
    found = annotated(entries)
    assert sum(map(bool, found["enriched_name"])) <= 2  # 50 features at a corrected p of 0.01


# -- kinds, meanings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        ("single", "single token"), ("case", "single token"), ("phrase", "phrase"), ("part", "word part"),
        ("short", "short-prefix induction"), ("place", "position"), ("kind", "context"), ("rare", "too rare"),
        ("dead", "too rare"),
    ],
)  # fmt: skip
def test_a_planted_feature_is_of_its_kind(made, feature, kind):
    found = of(made, feature)
    assert found["kind"] == kind, found["test"]


def test_two_unrelated_patterns_are_two_meanings(made):
    found = of(made, "two")
    tokens = [set(t.split("\t")) for t in found["meaning_tokens"]]
    assert sorted(map(sorted, tokens)) == [["dog"], ["mur"]]
    mass = {"dog": 0.0, "mur": 0.0}
    for p, v in FEATURES["two"]:
        mass[fold(int(TEXTS.tokens[p]))] += v
    shares = {next(iter(t)): s for t, s in zip(tokens, found["meaning_share"], strict=True)}
    assert shares == pytest.approx({k: v / sum(mass.values()) for k, v in mass.items()}, rel=1e-5)
    assert min(found["meaning_score"]) > 0.95
    assert len(of(made, "single")["meaning_share"]) == 1


def test_tokens_that_other_features_read_alike_are_one_meaning():
    """Red and blue are read by ten common features, dog by ten others: a feature of all three has two meanings."""
    t = TEXTS
    groups = [[" red", " blue"], [" dog"]]
    features = [
        [(p, 1.0) for p, i in enumerate(t.tokens) if i in {ID[w] for w in group}] for group in groups for _ in range(10)
    ]
    features.append([(p, 1.0) for p, i in enumerate(t.tokens) if i in {ID[w] for g in groups for w in g}])
    found = annotated(stored(features))
    assert sorted(sorted(x.split("\t")) for x in found["meaning_tokens"][-1]) == [["blue", "red"], ["dog"]]


# -- rules -------------------------------------------------------------------------------------------------------------


def fits(n_feature, learned, t):
    """Whether a rule fits a token, by looking at its sets."""
    for step in range(rules.CLAUSES):
        k = learned.attribute[n_feature, step]
        if k[0] < 0:
            return False
        conditions = [
            (k[c], set(learned.sets[n_feature, step, c, : learned.size[n_feature, step, c]]))
            for c in (0, 1)
            if k[c] >= 0
        ]
        if all(CORPUS.ids[a, t] in chosen for a, chosen in conditions):
            return True
    return False


@pytest.fixture(scope="module")
def learned():
    return rules.learn(ENTRIES.offsets, ENTRIES.positions, ENTRIES.values, CORPUS)


def test_scores_are_those_of_going_through_every_token(learned, made):
    for n, name in enumerate(NAMES):
        mine = {p for p, _ in FEATURES[name]}
        for held, counts in ((False, learned.train[n]), (True, learned.test[n])):
            cases = [t for t in range(len(TEXTS.tokens)) if CORPUS.counted[t] and CORPUS.held[t] == held]
            hit = sum(t in mine and fits(n, learned, t) for t in cases)
            false = sum(t not in mine and fits(n, learned, t) for t in cases)
            active = sum(t in mine for t in cases)
            assert counts.tolist() == [active, hit, false, len(cases)]
        if active:
            score = 0.5 * (hit / active + 1 - false / (len(cases) - active))
            assert made["score"][n] == pytest.approx(score)
        else:
            assert math.isnan(made["score"][n])


def test_the_control_is_another_features_rule_on_the_same_tokens(learned, made):
    cases = [t for t in range(len(TEXTS.tokens)) if CORPUS.counted[t] and CORPUS.held[t]]
    for n, name in enumerate(NAMES):
        other, mine = made["control_of"][n], {p for p, _ in FEATURES[name]}
        active = sum(t in mine for t in cases)
        if not active:
            continue
        assert other != n
        hit = sum(t in mine and fits(other, learned, t) for t in cases)
        false = sum(t not in mine and fits(other, learned, t) for t in cases)
        assert made["control"][n] == pytest.approx(0.5 * (hit / active + 1 - false / (len(cases) - active)))


# The learner as its docstring says it, without any short cut.


def naive_measure(tp, fp, P, Q):
    return 0.5 * (tp / P + 1 - fp / Q) + 2 * tp / (P + tp + fp)


def naive_set(hits, room, row, mass, tp, fp, P, Q):
    """(measure, set) of the best set of one attribute's categories among `room`; `hits` are active."""
    active, every = Counter(row[t] for t in hits), Counter(row[t] for t in room)
    first = {row[t]: n for n, t in reversed(list(enumerate(hits)))}
    ranked = sorted(
        (c for c in active if active[c] > 1 or P < 4),
        key=lambda c: (-(active[c] + 2 * P / (P + Q)) / (every[c] + 2) - 1e-12 * active[c], first[c]),
    )
    best, chosen = -1.0, []
    for n in range(1, len(ranked) + 1):
        a = sum(active[c] for c in ranked[:n])
        b = sum(every[c] for c in ranked[:n]) - a
        if (now := naive_measure(tp + a, fp + b, P, Q)) > best:
            best, chosen = now, ranked[:n]
    heavy = {c: float(sum(mass[t] for t in hits if row[t] == c)) for c in chosen}
    chosen = sorted(chosen, key=lambda c: -heavy[c])[: rules.MOST]
    a = sum(active[c] for c in chosen)
    return naive_measure(tp + a, fp + sum(every[c] for c in chosen) - a, P, Q), chosen


def naive_clause(hits, room, mass, tp, fp, P, Q):
    """(measure, [(attribute, set)]) of the best next clause."""
    every = [naive_set(hits, room, row, mass, tp, fp, P, Q) for row in CORPUS.ids]
    ranking = np.argsort([-score for score, _ in every])[: rules.TRIED]
    best, clause = -1.0, []
    for k in map(int, ranking):
        score, chosen = every[k]
        if score > best:
            best, clause = score, [(k, chosen)]
        inside, mine = ([t for t in some if CORPUS.ids[k, t] in set(chosen)] for some in (room, hits))
        least = best + rules.WORTH
        for other in range(len(ATTRIBUTES)):
            if other == k or not mine or (other < rules.THEMSELVES and k < rules.THEMSELVES):
                continue
            score, second = naive_set(mine, inside, CORPUS.ids[other], mass, tp, fp, P, Q)
            if score > least:
                best = least = score
                clause = [(k, chosen), (other, second)]
    return best, clause


def naive_rule(feature):
    mass = {p: abs(v) for p, v in feature}
    room = [t for t in range(len(TEXTS.tokens)) if CORPUS.counted[t] and not CORPUS.held[t]]
    hits = [t for t in room if t in mass]
    P, Q, tp, fp, best, made = len(hits), len(room) - len(hits), 0, 0, 0.5, []
    while hits and len(made) < rules.CLAUSES:
        score, clause = naive_clause(hits, room, mass, tp, fp, P, Q)
        if score <= best + (rules.WORTH if made else 0):
            break
        best = score
        made.append(clause)
        fit = {t for t in room if all(CORPUS.ids[k, t] in set(chosen) for k, chosen in clause)}
        tp, fp = tp + sum(t in fit for t in hits), fp + len(fit) - sum(t in fit for t in hits)
        room, hits = [t for t in room if t not in fit], [t for t in hits if t not in fit]
    return made


def test_a_rule_is_the_one_that_going_through_everything_finds(learned):
    """What is left out for speed changes no rule."""
    refined = 0
    for n, (name, feature) in enumerate(FEATURES.items()):
        found = [
            [(int(k), sets[:size].tolist()) for k, sets, size in zip(*row, strict=True) if k >= 0]
            for row in zip(learned.attribute[n], learned.sets[n], learned.size[n], strict=True)
        ]
        wanted = [[(k, [int(c) for c in chosen]) for k, chosen in clause] for clause in naive_rule(feature)]
        assert [clause for clause in found if clause] == wanted, name
        refined += sum(len(clause) == 2 for clause in wanted)
    assert refined


def test_held_out_documents_play_no_part_in_a_rule(learned):
    """Silencing every held-out activation changes scores and no rule."""
    kept = stored([[(p, v) for p, v in f if not CORPUS.held[p]] for f in FEATURES.values()])
    again = rules.learn(kept.offsets, kept.positions, kept.values, CORPUS)
    for name in ("attribute", "size", "sets", "train"):
        np.testing.assert_array_equal(getattr(again, name), getattr(learned, name))
    assert again.test[:, :2].sum() == 0 < learned.test[:, 1].sum()


def test_planted_features_are_told_and_shuffling_the_annotations_destroys_it(made):
    named = [NAMES.index(n) for n in ("single", "case", "phrase", "part", "short", "place", "two")]
    scores, controls = (np.array(made[c])[named] for c in ("score", "control"))
    assert np.median(scores) > 0.97
    assert scores.min() > 0.9
    assert np.median(controls) < 0.6
    assert of(made, "kind")["score"] > 0.75  # half of the letters' tokens: no rule could do better than this by much


def test_a_rule_names_what_was_planted(made):
    assert of(made, "single")["line"] == "“dog”"
    assert of(made, "phrase")["line"] in ("“is red”", "“red” after “is”", "“red” after the word “is”")
    assert of(made, "dead")["line"].startswith("never active")


def test_noise_is_not_learned_by_heart():
    """Of features that fire at random no rule does better than chance on held-out documents."""
    rng = np.random.default_rng(1)
    some = np.flatnonzero(CORPUS.counted)
    entries = stored([[(int(p), 1.0) for p in sorted(rng.choice(some, 60, replace=False))] for _ in range(60)])
    assert abs(np.nanmean(annotated(entries)["score"]) - 0.5) < 0.03


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_the_size_of_a_block_changes_nothing(made, monkeypatch):
    monkeypatch.setattr(make, "BLOCK", 3)
    again = annotated()
    for name, column in made.items():
        assert str(again[name]) == str(column), name


def test_profiles_of_a_block_are_those_of_the_whole():
    whole = meanings.signs(0, 20)
    np.testing.assert_array_equal(np.concatenate([meanings.signs(0, 7), meanings.signs(7, 13)]), whole)


def test_an_interval_is_newcombes():
    low, high = interval(45, 50, 930, 1000)
    parts = [stats.binomtest(45, 50), stats.binomtest(930, 1000)]
    (a, b), (c, d) = ((i.low, i.high) for i in (t.proportion_ci(method="wilson") for t in parts))
    assert low == pytest.approx(0.915 - math.hypot(0.9 - a, 0.93 - c) / 2)
    assert high == pytest.approx(0.915 + math.hypot(b - 0.9, d - 0.93) / 2)


def test_names_show_what_does_not_print():
    names = Names(CORPUS)
    tokens = {names.name(c) for c in range(int(CORPUS.base[1]))}
    assert {"↵", "↵↵", "dog", "the", "12"} <= tokens
