"""The environment, read once and typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import Settings


def test_the_defaults_need_nothing():
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.port == 8501
    assert settings.roots()[0] == Path("data")
    assert len(settings.roots()) == 2


def test_an_empty_demo_means_none(monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")
    monkeypatch.setenv("FEATURESCOPE_DATA", "/somewhere")
    assert Settings().roots() == (Path("/somewhere"),)


def test_an_empty_host_is_not_every_address(monkeypatch):
    monkeypatch.setenv("HOST", "")
    assert Settings().host == "127.0.0.1"


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_is_a_port(monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(ValidationError):
        Settings()


def test_origins_are_a_list(monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_ORIGINS", "https://a.example, https://b.example,")
    assert Settings().web_origins() == ("https://a.example", "https://b.example")
