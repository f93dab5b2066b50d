"""Worlds to keep people's things in: a file on this machine, and a Supabase project on loopback.

A test makes its own people, so that none needs an empty database.
"""

from __future__ import annotations

import itertools
import uuid

import pytest

from core.community import hosted as hosted_store
from core.community.alone import Alone
from core.community.file import File
from core.community.people import People
from core.community.protocol import Tokens
from core.records import FeatureKey
from tests.stack.stack import Stack

_count = itertools.count()


def a_feature():
    """A feature that no other test speaks of."""
    return FeatureKey("tiny", "1-res", 1_000_000 + next(_count))


class Local:
    """The one person of a file; nobody else is there."""

    kind = "local"

    def __init__(self, folder):
        self.file = File(folder)
        self.community = Alone(self.file, "you")
        self.anna = self.me = self.person()
        self.moderator = self.anna

    def person(self):
        return People(self.community, self.community.visit())


class Shared:
    """Two signed-in people, a moderator and nobody, in Supabase."""

    kind = "hosted"

    def __init__(self, stack):
        self.stack = stack
        with pytest.MonkeyPatch.context() as patch:  # a machine that runs tests may stand still
            patch.setattr(hosted_store, "WAITS", 60.0)
            self.community = hosted_store.Hosted(stack.url, stack.keys.publishable, ("password",))
        self.anna = self.me = self.person("anna")

    def person(self, name="person"):
        return People(self.community, self.community.visit(tokens(self.stack, name)))

    @property
    def bert(self):
        return self.person("bert")

    @property
    def moderator(self):
        return moderator(self.stack, self.community)

    @property
    def nobody(self):
        return People(self.community, self.community.visit())


def tokens(stack, name="person", *, anonymous=False):
    """A new account's."""
    unique = f"{name}-{uuid.uuid4().hex[:10]}"
    made = stack.gw.auth.create(
        None if anonymous else f"{unique}@example.com", None, {"user_name": unique}, anonymous=anonymous
    )
    session = stack.gw.auth.session(made, "password")
    return Tokens(session["access_token"], session["refresh_token"], session["expires_at"])


def moderator(stack, community):
    """Somebody who moderates: their profile has to be there first, and to be met again."""
    found = tokens(stack, "mod")
    first = People(community, community.visit(found)).me
    stack.sql("insert into public.moderators (person) values (%s)", first.id)
    community._known.forget()
    return People(community, community.visit(found))


@pytest.fixture
def hosted(stack: Stack):
    """Supabase."""
    made = Shared(stack)
    yield made
    made.community.line.close()


@pytest.fixture(params=["local", "hosted"])
def world(request, tmp_path):
    """Either; the same is asked of both."""
    return Local(tmp_path / "data") if request.param == "local" else request.getfixturevalue("hosted")
