"""The ways in which a language model is asked what a feature means; each is a module with its own prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.errors import BadInput
from core.explain.examples import Passage
from core.explain.machine import acts_top20, max_act, max_act_logits, token_act_pair
from core.explain.machine.client import Message
from core.records import FeatureRecord


class Method(Protocol):
    """One way to ask."""

    NAME: str
    """As Neuronpedia calls it."""
    VERSION: str
    """Of our prompt; another one where a word of it changed."""
    ABOUT: str
    """In words."""
    EXAMPLES: int
    """Passages that it is given."""

    def messages(self, record: FeatureRecord, passages: Sequence[Passage]) -> list[Message]:
        """What the model is asked."""

    def read(self, answer: str) -> str:
        """The explanation in its answer; empty if there is none."""


_ALL: tuple[Method, ...] = (max_act_logits, max_act, token_act_pair, acts_top20)
METHODS: Mapping[str, Method] = {one.NAME: one for one in _ALL}


def method(name: str) -> Method:
    """One of them; raises `BadInput` with what there is."""
    if name not in METHODS:
        raise BadInput(f"There is no method “{name[:60]}”. There is: {', '.join(METHODS)}.")
    return METHODS[name]
