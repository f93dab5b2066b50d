"""What tokens cost: every model that a known endpoint suggests has a price, however its provider writes its name."""

from __future__ import annotations

import pytest

from core.explain.machine.client import Endpoint
from core.explain.machine.door import Machines
from core.explain.machine.prices import Price, table


def test_every_model_that_is_suggested_has_a_price():
    every = [(one, model) for one in table().providers for model in one.models]
    assert {one.name for one, _ in every} == {"OpenAI", "OpenRouter", "Anthropic", "Google"}
    for one, model in every:
        assert Endpoint(model, one.url).costs() is not None, model
        assert model in Machines.models(one.url.rstrip("/"))
    assert Machines.models("http://127.0.0.1:11434/v1") == ()


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("claude-haiku-4-5", Price(1.0, 5.0)), ("claude-haiku-4-5-20251001", Price(1.0, 5.0)),
        ("anthropic/claude-haiku-4.5", Price(1.0, 5.0)), ("models/gemini-2.5-flash", Price(0.3, 2.5)),
        ("GPT-4.1-mini-2025-04-14", Price(0.4, 1.6)), ("claude-3-5-haiku-latest", Price(0.8, 4.0)),
        ("gemini-2.5-flash-image", None), ("gpt-4.1-mini-2025", None), ("claude", None), ("", None),
    ],
)  # fmt: skip
def test_names_as_providers_write_them(name, price):
    """A name that only begins like another one is not guessed."""
    assert table().of(name) == price
