"""Templates over a workbench's sources, the one door: `Workbench.templates`. Each technique is a module of its own.

A template becomes a set of prompts (`expand`), these are read once by the model and by every source, as a search reads
a text and from the same cache, and of every feature it is asked what it responds to (`responses`, `effects`). Cost: one
pass over the set, an encoding of each prompt by each source, and some products. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.records import FeatureKey, LeftOut, SourceKey, SourceRecord, Step, Tell
from core.techniques.circuits.records import CircuitAsk
from core.techniques.substitution import slot_of
from core.techniques.templates.expand import expand
from core.techniques.templates.records import (
    LEVEL,
    Control,
    Factor,
    Level,
    Prompt,
    Response,
    TemplateAsk,
    TemplateRecord,
)

if TYPE_CHECKING:
    from core.techniques.reading import Found, Lost
    from core.techniques.templates.effects import Effects
    from core.techniques.templates.responses import Question
    from core.workbench import Workbench

TOP, MOST = 20, 500
"""Responses to each factor that are listed, unless told otherwise, and at most."""
SHUFFLES = 20
MOST_TOKENS = 16_384
"""Of all prompts together."""
MOST_VALUES = 2**27
"""Observations times features that are held for the control: half a gigabyte."""
TOO_MUCH = "That is too much at once: ask for fewer prompts, or for some of the sources."


@dataclass(frozen=True, slots=True)
class _Tested:
    """One question asked of the features of one source."""

    question: Question
    key: SourceKey
    features: NDArray[np.int64]
    y: NDArray[np.float32]
    """[observations, features], as they were read."""
    effects: Effects


class Templates:
    """Sets of prompts, and what features respond to in them. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def prompts(self, ask: TemplateAsk) -> tuple[tuple[Prompt, ...], int]:
        """(the set, how many combinations there are), without positions of tokens; runs no model.

        Raises:
            BadInput: a template, its fillers or a number is wrong; the message says where.
        """
        fillers = _fillers(ask)
        made, count = expand(ask.templates, fillers, ask.prompts, ask.seed)
        return tuple(made), count

    def responses(self, ask: TemplateAsk, *, top: int = TOP, tell: Tell | None = None) -> TemplateRecord:
        """The features that respond to a slot's value, its position, its role: of each the `top` largest effects.

        Raises:
            BadInput: as `prompts`; also if the set has too many tokens, or nothing can be asked about it.
            NotFound: there is no such model or source.
            NotAvailable: weights are not here.
            Busy: too many are waiting, or memory is short.
        """
        from core.techniques.templates.effects import askable, corrected, effects
        from core.techniques.templates.responses import observed, questions

        if not 1 <= top <= MOST:
            raise BadInput(f"top is 1 to {MOST:,}.")
        if ask.seed < 0:
            raise BadInput("seed is a whole number of 0 or more.")
        fillers = _fillers(ask)
        made, count = self.prompts(ask)
        self._bench.model(ask.model_id)
        sources = self._bench.circuits._chosen(CircuitAsk(model_id=ask.model_id, text="", sources=ask.sources))
        prompts, codes, lengths, first, lost = self._read(ask, made, sources, tell)
        asked = questions(prompts, fillers, lengths, ask.at, first)
        if not asked:
            raise BadInput("Nothing can be asked about this set: give more prompts or fillers.")
        tested: list[_Tested] = []
        for n, question in enumerate(asked):
            for key in codes[0]:
                if len(question.places) * codes[0][key].width > 2 * MOST_VALUES:  # before they are laid out
                    raise BadInput(TOO_MUCH)
                y = observed([one[key] for one in codes], question.places)
                some = askable(y)
                own = y[:, some]
                tested.append(_Tested(question, key, some, own.astype(np.float32), effects(own, question.design)))
                if sum(one.y.size for one in tested) > MOST_VALUES:
                    raise BadInput(TOO_MUCH)
            if tell is not None:
                tell(Step(doing="measuring", what="responses", done=n + 1, of=len(asked)))
        p = np.concatenate([one.effects.p for one in tested])
        if not len(p):
            raise BadInput("No feature is active in enough of these prompts: give more, or other places.")
        q = corrected(p)
        found = int((q <= LEVEL).sum())
        factors = {id(question): self._factor(question, tested, q) for question in asked}
        return TemplateRecord(
            ask=ask, prompts=prompts, combinations=count, factors=tuple(factors[id(one)] for one in asked),
            tests=len(p), level=LEVEL, found=found, responses=self._best(tested, q, factors, top),
            control=_control(tested, ask.seed), left_out=lost,
        )  # fmt: skip

    def _read(
        self, ask: TemplateAsk, made: Sequence[Prompt], sources: Sequence[SourceRecord], tell: Tell | None
    ) -> tuple[tuple[Prompt, ...], list[Found], list[int], int, tuple[LeftOut, ...]]:
        """(the prompts with their tokens' places, codes, tokens of each, the first token that is not BOS, left out)."""
        texts = [one.text for one in made]
        if too := next((t for t in texts if len(t) > self._bench.settings.max_characters), None):
            raise BadInput(f"A prompt has {len(too):,} characters; at most {self._bench.settings.max_characters:,}.")
        model, rows = self._bench._tokens(ask.model_id, texts, tell)
        if (size := sum(map(len, rows))) > MOST_TOKENS:
            raise BadInput(f"The prompts have {size:,} tokens together: at most {MOST_TOKENS:,}. Ask for fewer.")
        prompts = []
        for prompt, row in zip(made, rows, strict=True):
            tokens = model.vocabulary.draw(row)
            mentions = tuple(
                replace(one, positions=slot_of(tokens, prompt.text, one.begin, one.filler)) for one in prompt.mentions
            )
            prompts.append(replace(prompt, mentions=mentions))
        lost: Lost = {}
        codes = self._bench._codes(ask.model_id, rows, sources, tell, None if ask.sources else lost)
        if not codes[0]:
            raise next(iter(lost.values()))
        left = tuple(LeftOut(key=one.key, why=str(lost[one.key])) for one in sources if one.key in lost)
        return tuple(prompts), codes, [len(row) for row in rows], int(model.bos is not None), left

    def _factor(self, question: Question, tested: Sequence[_Tested], q: NDArray[np.float64]) -> Factor:
        own = np.repeat([one.question is question for one in tested], [len(one.features) for one in tested])
        return Factor(
            question.kind, question.slots, question.names, len(question.places), int(own.sum()),
            int((q[own] <= LEVEL).sum()), question.beside, question.confounded,
        )  # fmt: skip

    def _best(
        self, tested: Sequence[_Tested], q: NDArray[np.float64], factors: dict[int, Factor], top: int
    ) -> tuple[Response, ...]:
        """Those that pass, factor by factor: by effect, then by how often they are active, then by their spread."""
        begins = np.cumsum([0, *(len(one.features) for one in tested)])
        owners = np.repeat(np.arange(len(tested)), np.diff(begins))
        omega = np.concatenate([one.effects.omega for one in tested])
        active = np.concatenate([(one.y != 0).mean(0) for one in tested])
        spread = np.concatenate([one.y.std(0) for one in tested])
        order = np.lexsort((-spread, -active, -omega.round(3)))
        each: dict[int, list[int]] = {question: [] for question in factors}
        for n in order.tolist():
            own = each[id(tested[owners[n]].question)]
            if q[n] <= LEVEL and len(own) < top:
                own.append(n)
        chosen = [n for own in each.values() for n in own]
        said: dict[SourceKey, list[int]] = {}
        for n in chosen:
            one = tested[owners[n]]
            said.setdefault(one.key, []).append(int(one.features[n - begins[owners[n]]]))
        known = {key: iter(self._bench.circuits._known(key, own)) for key, own in said.items()}
        made = []
        for n in chosen:
            one, at = tested[owners[n]], int(n - begins[owners[n]])
            label, density = next(known[one.key])
            made.append(
                Response(
                    FeatureKey(one.key.model_id, one.key.source_id, int(one.features[at])), factors[id(one.question)],
                    float(one.effects.omega[at]), float(one.effects.eta[at]), float(one.effects.f[at]),
                    float(one.effects.p[at]), float(q[n]), int((one.y[:, at] != 0).sum()),
                    _levels(one.question, one.y[:, at]), label, density,
                )
            )  # fmt: skip
        return tuple(made)


def _fillers(ask: TemplateAsk) -> dict[str, tuple[str, ...]]:
    names = [name for name, _ in ask.fillers]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"The slot {{{twice[:40]}}} is given fillers twice.")
    return dict(ask.fillers)


def _levels(question: Question, y: NDArray[np.float32]) -> tuple[Level, ...]:
    labels = np.array(question.labels)
    found = [
        Level(name, float(y[labels == n].mean()), int((labels == n).sum()))
        for n, name in enumerate(question.names) if (labels == n).any()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: -one.mean))


def _control(tested: Sequence[_Tested], seed: int) -> Control:
    """The same features and questions, with labels shuffled among observations that are otherwise alike."""
    from core.techniques.templates.effects import corrected, design, effects, shuffled

    rng, found, largest = np.random.default_rng(seed), [], []
    for _ in range(SHUFFLES):
        each, designs = [], {}
        for one in tested:
            question = one.question
            if id(question) not in designs:
                labels = shuffled(question.labels, question.fixed, rng)
                designs[id(question)] = design(labels.tolist(), question.fixed)
            made = designs[id(question)]
            each.append(one.effects if made is None else effects(one.y.astype(np.float64), made))
        found.append(int((corrected(np.concatenate([one.p for one in each])) <= LEVEL).sum()))
        largest.append(max((float(one.omega.max()) for one in each if len(one.omega)), default=0.0))
    return Control(SHUFFLES, float(np.mean(found)), max(found), float(np.mean(largest)))
