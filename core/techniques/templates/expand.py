"""A prompt with slots in braces, and the prompts that its fillers make.

`When {A} and {B} went to the {place}, {B} gave a drink to`: a slot is a name in braces, may stand in several places,
and has the same filler in all of them; `{{` and `}}` are braces themselves. Slots that have a filler in common are
never filled alike in one prompt. All combinations are made up to a number of prompts; beyond it so many are drawn, by a
seed. Cost: a walk over the combinations. Imports no torch.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from math import prod

from core.errors import BadInput
from core.techniques.templates.records import MOST, Mention, Prompt

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,29}")
SLOTS, FILLERS, VARIANTS = 8, 64, 8
"""At most."""
PLACES = 64
"""Of slots in one template at most: each is an observation of every prompt."""
WALKED = 200_000
"""Combinations that are walked; of more the prompts are drawn one by one."""

Part = tuple[str, bool]
"""(text or a slot's name, whether it is a slot)."""


def parse(template: str) -> tuple[Part, ...]:
    """A template's texts and slots, in order.

    Raises:
        BadInput: a brace without its other one, a slot without a name, or no slot at all.
    """
    parts: list[Part] = []
    text, begin = "", 0
    for piece in _PIECE.finditer(template):
        text += template[begin : piece.start()]
        begin = piece.end()
        if piece[0] in ("{{", "}}"):
            text += piece[0][0]
        elif piece[0] in ("{", "}"):
            raise BadInput(
                f"The template has a “{piece[0]}” at character {piece.start()} without its other one: write a slot as "
                "{name}, and a brace itself twice."
            )
        elif not _NAME.fullmatch(piece[1]):
            raise BadInput(
                f"“{{{piece[1][:40]}}}” in the template is no slot: a name is letters, digits and _, as in {{place}}."
            )
        else:
            parts += [(text, False), (piece[1], True)] if text else [(piece[1], True)]
            text = ""
    text += template[begin:]
    parts += [(text, False)] if text else []
    if not any(slot for _, slot in parts):
        raise BadInput("The template has no slot: write {name} where fillers are to go, as in “The {place} is”.")
    return tuple(parts)


def checked(templates: Sequence[str], fillers: Mapping[str, Sequence[str]]) -> list[tuple[Part, ...]]:
    """The templates, parsed.

    Raises:
        BadInput: a slot has no fillers, fillers no slot, a filler is empty or named twice, or there are too many.
    """
    if not 1 <= len(templates) <= VARIANTS:
        raise BadInput(f"Give 1 to {VARIANTS} templates; these are {len(templates)}.")
    if len(set(templates)) < len(templates):
        raise BadInput("A template is written twice: its prompts would count twice.")
    parsed = [parse(one) for one in templates]
    names = [{name for name, slot in parts if slot} for parts in parsed]
    for n, own in enumerate(names[1:], 2):
        if own != names[0]:
            raise BadInput(f"Template {n} has other slots than the first: variants have the same, in another order.")
    if len(names[0]) > SLOTS:
        raise BadInput(f"The template has {len(names[0])} slots: at most {SLOTS}.")
    if missing := sorted(names[0] - set(fillers)):
        raise BadInput(f"The slot {{{missing[0]}}} has no fillers: give some, as in {missing[0]}=red,blue.")
    if spare := sorted(set(fillers) - names[0]):
        raise BadInput(f"There are fillers for “{spare[0][:40]}”, and no slot {{{spare[0][:40]}}} in the template.")
    if (most := max(sum(slot for _, slot in parts) for parts in parsed)) > PLACES:
        raise BadInput(f"A template has slots at {most:,} places: at most {PLACES}.")
    for name, given in fillers.items():
        if not 2 <= len(given) <= FILLERS:
            raise BadInput(f"The slot {{{name}}} has {len(given)} fillers: give 2 to {FILLERS}.")
        if any(not one.strip() for one in given):
            raise BadInput(f"A filler of {{{name}}} is empty: leave it out, or write something.")
        if len(set(given)) < len(given):
            raise BadInput(f"A filler of {{{name}}} is named twice.")
    return parsed


def expand(
    templates: Sequence[str], fillers: Mapping[str, Sequence[str]], most: int, seed: int
) -> tuple[list[Prompt], int]:
    """(the prompts, how many combinations there are).

    Where there are too many to walk, the number counts those with slots filled alike too. Raises what `checked` does;
    `BadInput` also where no combination is left.
    """
    if not 2 <= most <= MOST:
        raise BadInput(f"prompts is 2 to {MOST}.")
    parsed = checked(templates, fillers)
    size = len(parsed) * prod(len(own) for own in fillers.values())
    rng = random.Random(seed)
    if size <= WALKED:
        every = list(_combinations(parsed, fillers))
        count = len(every)
        chosen = sorted(rng.sample(range(count), most)) if count > most else range(count)
        made = [every[n] for n in chosen]
    else:
        made, count = list(islice(_drawn(parsed, fillers, rng), most)), size
    if len(made) < 2:
        raise BadInput("The fillers leave no two prompts: slots that share fillers are never filled alike.")
    return [_filled(parsed[variant], variant, values) for variant, values in made], count


Combination = tuple[int, dict[str, str]]


def _combinations(parsed: Sequence[object], fillers: Mapping[str, Sequence[str]]) -> Iterator[Combination]:
    for variant in range(len(parsed)):
        for values in product(*fillers.values()):
            if len(set(values)) == len(values):
                yield variant, dict(zip(fillers, values, strict=True))


def _drawn(
    parsed: Sequence[object], fillers: Mapping[str, Sequence[str]], rng: random.Random
) -> Iterator[Combination]:
    """Combinations by chance, none twice; ends where it finds no more."""
    seen = set()
    for _ in range(100 * MOST):
        values = tuple(rng.choice(own) for own in fillers.values())
        variant = rng.randrange(len(parsed))
        if len(set(values)) == len(values) and (variant, values) not in seen:
            seen.add((variant, values))
            yield variant, dict(zip(fillers, values, strict=True))


def _filled(parts: Sequence[Part], variant: int, values: Mapping[str, str]) -> Prompt:
    text, mentions = "", []
    for part, slot in parts:
        if slot:
            mentions.append(Mention(part, values[part], len(text)))
        text += values[part] if slot else part
    return Prompt(text, variant, tuple(mentions))
