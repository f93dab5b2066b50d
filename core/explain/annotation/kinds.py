"""Of what kind a feature is. Each kind has one test, tried in this order; the first that holds decides.

Shares are of the feature's activation (the sum of its values' sizes), so that many weak activations do not drown the
strong ones. “Goes with” is the Cochran-Mantel-Haenszel test with the token held fixed: it asks whether, among the
places of the same token, the property and the feature go together; its common odds ratio must be at least `ODDS`, and
its p, times the number of properties (Bonferroni), below 0.01. Of tokens that the feature always or never takes it
says nothing, and rightly so: then the token explains everything.

- too rare: active on fewer than `RARE` tokens. No test would mean anything.
- long-prefix induction: goes with “the last three tokens stood together earlier in the prompt” (two tokens of prefix,
  followed by this one), which holds of at least `HALF` of the activation.
- short-prefix induction: the same for the last two tokens (one token of prefix, followed by this one).
- phrase: at most `PAIRS` pairs of (token before, token), each enriched, are at least `HALF` of the active tokens; the
  same tokens after other tokens are active at most half as often, and Fisher's exact test on that is sure.
- word part: at least `NEARLY` of the activation is on tokens of words that are several tokens long, and at most `FEW`
  tokens are `NEARLY` of it.
- single token: one token, without regard to case and spaces, is `NEARLY` of the activation.
- few tokens: at most `FEW` of them are.
- position: goes with a place in the prompt or one of the first places in the line, and at least `NEARLY` of the
  activation is there.
- word part, of many: at least `NEARLY` of the activation is on tokens of words that are several tokens long; the odds
  are `ODDS` times those of all tokens, and Fisher's exact test is sure.
- token class: of another place of the same token as an active one, at least `HALF` are active too (the mean over
  active tokens), on whatever tokens: what the token is decides.
- context: goes with a kind of document that has at least `NEARLY` of the activation; or the word or token before is
  enriched, the token does not decide, and the feature is active on at least `MANY` different tokens.
- unclear: none of these.

Induction and phrase come first because a feature of one token may be active on it in such places only; position comes
after tokens, since a token may have its place (“Letter 1”).
"""

from __future__ import annotations

import math

import numpy as np

from core.explain.annotation.attributes import ATTRIBUTES
from core.explain.annotation.corpus import LINE, Corpus
from core.explain.annotation.evidence import SURE, Evidence, Properties, property_words
from core.explain.annotation.figures import log_odds, p_words
from core.explain.annotation.statistics import association, log10_tail
from core.explain.annotation.words import Names, listed
from core.explain.records import Kind

RARE, PAIRS, FEW, MANY = 5, 6, 5, 10
MOSTLY, NEARLY, HALF, ODDS = 0.9, 0.8, 0.5, 3.0
_PAIR = ATTRIBUTES.index("pair")
_CONTEXT = ("prev", "prev2", "before")


class Judge:
    """Decides kinds for the features of one build."""

    def __init__(self, corpus: Corpus, facts: Properties, names: Names) -> None:
        self._corpus, self._facts, self._names = corpus, facts, names
        self._totals = corpus.train + corpus.test
        self._correction = math.log10(len(facts.names))
        self._counted = sum(corpus.sizes)
        tokens = facts.tokens.sum(0)
        self._parts = [
            (b, corpus.parts[fact.number])
            for b, fact in enumerate(facts.names)
            if fact.kind == "part" and 2 * tokens[b] <= self._counted
        ]
        self._pieces_of_words = int((corpus.piece & corpus.counted).sum())

    def kind(self, e: Evidence, f: int) -> tuple[Kind, str]:
        """(kind, what decided it) of the block's feature `f`."""
        active = int(e.active[f])
        if active < RARE:
            return "too rare", f"It is active on {active} {'token' if active == 1 else 'tokens'}; {RARE} are asked."
        tests = (
            self._induction, self._phrase, self._tokens, self._position, self._pieces, self._class, self._context,
        )  # fmt: skip
        for decide in tests:
            found = decide(e, f)
            if found:
                return found
        return "unclear", "No test holds: see the enriched categories."

    def usual_part(self, e: Evidence, f: int) -> str:
        """The kind of document that has `MOSTLY` of the activation and at most half of the tokens, if there is one."""
        for b, part in self._parts:
            if self._share(e, f, b) >= MOSTLY:
                return part
        return ""

    def _share(self, e: Evidence, f: int, b: int) -> float:
        """Of the activation that a property has."""
        return float(e.sums[f, b, 5] / e.mass[f]) if e.mass[f] else 0.0

    def _association(self, e: Evidence, f: int, b: int) -> tuple[float, float]:
        """(common odds ratio, log10 of the corrected p) of a property."""
        odds, p = association(e.sums[f, b])
        return odds, min(0.0, p + self._correction)

    def _induction(self, e: Evidence, f: int) -> tuple[Kind, str] | None:
        for b, kind in ((2, "long"), (1, "short")):
            share = self._share(e, f, b)
            if share < HALF:
                continue
            odds, p = self._association(e, f, b)
            if odds >= ODDS and p < SURE:
                text = (
                    f"{share:.0%} of its activation is {property_words(self._facts.names[b], ())} from earlier in the "
                    f"prompt ({HALF:.0%} asked); with the token held fixed the odds are {odds:.1f} times "
                    f"({ODDS:g} asked), {p_words(p)}."
                )
                return ("long-prefix induction" if kind == "long" else "short-prefix induction"), text
        return None

    def _phrase(self, e: Evidence, f: int) -> tuple[Kind, str] | None:
        there = [
            i for i, c in enumerate(e.enriched[f, _PAIR]) if c >= 0 and self._corpus.counted[self._corpus.first[c] - 1]
        ]
        pairs = [int(c) for c in e.enriched[f, _PAIR, there[:PAIRS]]]
        seen = int(e.seen[f, _PAIR, there[:PAIRS]].sum())
        if not pairs or seen < HALF * e.active[f]:
            return None
        held = {int(self._corpus.ids[0, self._corpus.first[c]]) for c in pairs}
        known = [i for i, c in enumerate(e.types[f]) if int(c) in held]
        active = int(e.type_active[f, known].sum())
        tokens = int(self._totals[sorted(held)].sum())
        inside = int(self._totals[pairs].sum())
        if len(known) < len(held) or tokens <= inside:
            return None
        rate, other = seen / inside, (active - seen) / (tokens - inside)
        p = log10_tail(seen, active, inside, tokens) + math.log10(int(self._corpus.base[-1]))
        if rate < 2 * other or p >= SURE:
            return None
        shown = listed([f"“{self._names.name(c)}”" for c in pairs], 3, "and")
        return "phrase", (
            f"{shown} are {seen / e.active[f]:.0%} of its active tokens ({HALF:.0%} asked) and active {rate:.0%} of "
            f"the time; the same tokens after others {other:.0%} (at most half of that asked), {p_words(min(0.0, p))}."
        )

    def _tokens(self, e: Evidence, f: int) -> tuple[Kind, str] | None:
        shares = np.cumsum(e.type_mass[f]) / e.mass[f] if e.mass[f] else np.zeros(1)
        many = int(np.searchsorted(shares, NEARLY - 1e-12)) + 1
        if many > min(FEW, len(shares)):
            return None
        names = listed([f"“{self._names.name(int(c))}”" for c in e.types[f, :many]], FEW, "and")
        text = f"{names} {'is' if many == 1 else 'are'} {shares[many - 1]:.0%} of its activation ({NEARLY:.0%} asked)"
        piece = float(e.sums[f, 0, 5] / e.mass[f])
        if piece >= NEARLY:
            return "word part", f"{text}, and {piece:.0%} of it is inside longer words ({NEARLY:.0%} asked)."
        return ("single token" if many == 1 else "few tokens"), f"{text}; {piece:.0%} of it is inside longer words."

    def _goes_with(self, e: Evidence, f: int, kinds: tuple[str, ...]) -> str | None:
        """The property of these kinds with the largest share that passes."""
        best, text = NEARLY, None
        for b, fact in enumerate(self._facts.names):
            if fact.kind not in kinds or (fact.kind == "line" and fact.number >= LINE):  # anywhere beyond is no place
                continue
            share = self._share(e, f, b)
            if share < best:
                continue
            odds, p = self._association(e, f, b)
            if odds >= ODDS and p < SURE:
                best, text = (
                    share,
                    (
                        f"{share:.0%} of its activation is {property_words(fact, self._corpus.parts)} ({NEARLY:.0%} "
                        f"asked); with the token held fixed the odds are {odds:.1f} times ({ODDS:g} asked), "
                        f"{p_words(p)}."
                    ),
                )
        return text

    def _position(self, e: Evidence, f: int) -> tuple[Kind, str] | None:
        text = self._goes_with(e, f, ("place", "line"))
        return ("position", text) if text else None

    def _pieces(self, e: Evidence, f: int) -> tuple[Kind, str] | None:
        share = float(e.sums[f, 0, 5] / e.mass[f]) if e.mass[f] else 0.0
        seen, active, counted = int(e.sums[f, 0, 0]), int(e.active[f]), self._counted
        odds = math.exp(log_odds(seen, active, self._pieces_of_words, counted))
        p = log10_tail(seen, active, self._pieces_of_words, counted) + self._correction
        if share < NEARLY or odds < ODDS or p >= SURE:
            return None
        return "word part", (
            f"{share:.0%} of its activation is inside longer words ({NEARLY:.0%} asked), on {e.distinct[f]} different "
            f"tokens; the odds are {odds:.1f} times those of all tokens ({ODDS:g} asked), {p_words(min(0.0, p))}."
        )

    def _class(self, e: Evidence, f: int) -> tuple[Kind, str] | None:
        if e.purity[f] < HALF:
            return None
        return "token class", (
            f"It is active on {e.distinct[f]} different tokens, and at another place of an active one's token active "
            f"{e.purity[f]:.0%} of the time ({HALF:.0%} asked): the token decides."
        )

    def _context(self, e: Evidence, f: int) -> tuple[Kind, str] | None:
        text = self._goes_with(e, f, ("part",))
        if text:
            return "context", text
        if e.distinct[f] < MANY:
            return None
        for name in _CONTEXT:
            k = ATTRIBUTES.index(name)
            if e.enriched[f, k, 0] >= 0:
                what = {"prev": "The token before", "prev2": "The token two back", "before": "The word before"}[name]
                return "context", (
                    f"It is active on {e.distinct[f]} different tokens ({MANY} asked), and at another place of one of "
                    f"them {e.purity[f]:.0%} of the time (less than {HALF:.0%} asked). {what} is enriched: "
                    f"“{self._names.name(int(e.enriched[f, k, 0]))}”, {p_words(float(e.log10_p[f, k, 0]))}."
                )
        return None
