"""A hosted Supabase project, asked what the stack on loopback is asked: `pytest -m online`, two variables.

FEATURESCOPE_TEST_SUPABASE_URL is the project's address, FEATURESCOPE_TEST_SUPABASE_KEYS its publishable and its secret
key with a comma between. It needs the migrations, and sign-in by password. Accounts are made for the tests and deleted
with all that is theirs.
"""

from __future__ import annotations

import os
import secrets
import uuid

import httpx
import pytest

from core.community.auth import Auth
from core.community.hosted import Hosted
from core.community.keys import digest
from core.community.people import People
from core.community.records import Case, Item
from core.errors import NotAllowed, NotFound, NotSignedIn
from core.records import FeatureKey

pytestmark = [pytest.mark.online, pytest.mark.timeout(300)]
URL, KEYS = (os.environ.get(f"FEATURESCOPE_TEST_SUPABASE_{name}", "") for name in ("URL", "KEYS"))
needed = pytest.mark.skipif(not URL or KEYS.count(",") != 1, reason="FEATURESCOPE_TEST_SUPABASE_URL and _KEYS")
TABLES = (
    "profiles", "moderators", "preferences", "lists", "list_items", "stars", "comments", "reports", "moderation",
    "suites", "suite_runs", "saved", "api_keys", "usage", "paces",
)  # fmt: skip


@pytest.fixture(scope="module")
def project():
    """The project; gives a function that makes people, who are deleted at the end."""
    publishable, secret = KEYS.split(",")
    community = Hosted(URL, publishable, ("password",))
    auth = Auth(community.line, secret)
    admin = community.line.client(key=secret).auth.admin
    made = []

    def person():
        email, password = f"{uuid.uuid4().hex}@featurescope-test.invalid", secrets.token_urlsafe(16)
        made.append(admin.create_user({"email": email, "password": password, "email_confirm": True}).user.id)
        tokens = auth.sign_in(email, password)
        return People(community, community.visit(tokens)), tokens

    yield community, auth, person
    for id in made:
        admin.delete_user(id)
    community.line.close()


@needed
def test_two_people(project):
    community, _, person = project
    (anna, _), (bert, _), nobody = person(), person(), People(community, community.visit())
    feature = FeatureKey("online", "1-test", secrets.randbelow(2**40))
    anna.stars.add(feature)
    bert.stars.add(feature)
    assert nobody.stars.of(feature).count == 2
    listed = anna.lists.new("a list", visibility="unlisted", items=[Item(feature, "é 🙂", 2.5)])
    assert nobody.lists.get(listed).items == (Item(feature, "é 🙂", 2.5),)
    assert nobody.lists.holding(feature) == ()
    said = bert.comments.post(listed, "hello")
    assert bert.comments.post(listed, "again", id=said) == said
    assert [comment.body for comment in nobody.comments.on(listed)] == ["hello"]
    with pytest.raises(NotAllowed):
        bert.lists.change(listed, name="mine")
    anna.lists.change(listed, visibility="private")
    with pytest.raises(NotFound):
        bert.lists.get(listed)
    suite = anna.suites.new(feature, "s", [Case("a", True)])
    assert bert.suites.get(suite).cases == (Case("a", True),)


@needed
@pytest.mark.parametrize("table", TABLES)
def test_nobody_writes(project, table):
    """Straight to the project's address, without the workbench."""
    headers = {"apikey": KEYS.split(",")[0], "Prefer": "return=minimal"}
    key = {"moderators": "person", "preferences": "owner", "list_items": "list_id"}.get(table, "id")
    address = f"{URL}/rest/v1/{table}"
    for answer in (
        httpx.post(address, json={key: str(uuid.uuid4())}, headers=headers),
        httpx.patch(f"{address}?{key}=is.null", json={key: str(uuid.uuid4())}, headers=headers),
        httpx.delete(f"{address}?{key}=is.null", headers=headers),
    ):
        assert answer.status_code in {401, 403} and answer.json()["code"] == "42501"


@needed
def test_somebody_elses_owner_is_refused(project):
    _, _, person = project
    (anna, _), (_, tokens) = person(), person()
    headers = {"apikey": KEYS.split(",")[0], "Authorization": f"Bearer {tokens.access}", "Prefer": "return=minimal"}
    rows = {
        "stars": {"model_id": "m", "source_id": "1-a", "feature": 1}, "lists": {"name": "n"},
        "saved": {"name": "n", "kind": "search", "link": "/search?a"}, "usage": {"kind": "k", "amount": 1},
    }  # fmt: skip
    for table, row in rows.items():
        answer = httpx.post(f"{URL}/rest/v1/{table}", json=row | {"owner": anna.me.id}, headers=headers)
        assert answer.status_code == 403 and answer.json()["code"] == "42501"


@needed
def test_sessions_and_keys(project):
    community, auth, person = project
    anna, tokens = person()
    fresh = auth.fresh(tokens)
    assert fresh.refresh != tokens.refresh
    key = anna.keys.new("a key")
    assert community.visit(auth.by_key(key)).me.id == anna.me.id
    anna.keys.revoke(anna.keys.mine()[0].id)
    auth.look_again()
    with pytest.raises(NotSignedIn):
        auth.by_key(key)
    assert len(digest(key)) == 64
    auth.sign_out(fresh)
    with pytest.raises(NotSignedIn):
        auth.fresh(fresh)
