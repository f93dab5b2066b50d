"""What the database allows, asked directly over HTTP and not through the workbench.

Every table and every command: its owner, somebody else, nobody, somebody who signed in anonymously, a forged owner; and
from PostgreSQL's own catalogue that nothing is left out.
"""

from __future__ import annotations

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from core.community import limits
from core.community.alone import Alone
from core.community.file import File
from tests.core.community.conftest import tokens
from tests.stack.stack import Stack, missing

REFUSED = {401, 403}
FEATURES = itertools.count()
HTTP = httpx.Client(timeout=60)
READ = "select"
PUBLIC = {READ: {"anon", "authenticated"}}
OWN = {READ: {"authenticated"}}


def on():
    """A feature's columns; never the same."""
    return {"model_id": "m", "source_id": "1-res", "feature": next(FEATURES)}


@dataclass
class Caller:
    """Somebody with a token, or without; asks PostgREST by way of the project's address."""

    stack: Stack
    token: str = ""
    id: str = ""
    link: str = ""
    made: dict = field(default_factory=dict)

    def ask(self, method, path, body=None, **headers):
        sent = {"apikey": self.stack.keys.publishable, "Prefer": "return=minimal"}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if self.link:
            sent["x-featurescope-link"] = self.link
        return HTTP.request(method, f"{self.stack.url}/rest/v1/{path}", json=body, headers=sent | headers)

    def add(self, table, row):
        return self.ask("POST", table, row)

    def rows(self, table, where):
        found = self.ask("GET", f"{table}?{where}&select={'id,name' if table == 'api_keys' else '*'}")
        return found.json() if found.status_code == 200 else []

    def change(self, table, where, values):
        return self.ask("PATCH", f"{table}?{where}", values)

    def remove(self, table, where):
        return self.ask("DELETE", f"{table}?{where}")


def somebody(stack, *, anonymous=False, profile=True):
    """A new account, with a profile, a list, a suite and a comment."""
    found = tokens(stack, anonymous=anonymous)
    id = str(stack.keys.verify(found.access)["sub"])
    made = Caller(stack, found.access, id)
    if profile and not anonymous:
        assert made.add("profiles", {"id": id, "name": f"p-{uuid.uuid4().hex[:12]}"}).status_code == 201
    return made


def settled(stack, seen="public"):
    """Somebody with something in every place."""
    made = somebody(stack)
    for name in ("list", "suite", "comment"):
        made.made[name] = str(uuid.uuid4())
    answers = [
        made.add("lists", {"id": made.made["list"], "name": "l", "visibility": seen}),
        made.add("suites", {"id": made.made["suite"], "name": "s", "visibility": seen} | on()),
        made.add("comments", {"id": made.made["comment"], "body": "c", "list_id": made.made["list"]}),
    ]
    assert [answer.status_code for answer in answers] == [201] * 3
    return made


def moderator(stack):
    made = somebody(stack)
    stack.sql("insert into public.moderators (person) values (%s)", made.id)
    return made


@dataclass(frozen=True)
class Kept:
    """A table: how somebody's row of it is made, found and changed, and what its owner may do."""

    row: object
    """Of the owner: what they would send."""
    may: frozenset
    change: dict
    public: bool = False
    key: tuple = ("id",)


def _id():
    return {"id": str(uuid.uuid4())}


def _kept(row, may, change, **more):
    return Kept(row, frozenset(may.split()), change, **more)


RUN = [{"text": "a", "fires": True, "value": 1.5, "passed": True, "why": ""}]
TABLES = {
    "profiles": _kept(
        lambda o: {"id": o.id, "name": f"n-{uuid.uuid4().hex[:9]}"}, "insert update", {"about": "x"}, public=True
    ),
    "moderators": _kept(lambda o: {"person": o.id}, "", {"person": str(uuid.uuid4())}, key=("person",)),
    "preferences": _kept(
        lambda o: {"owner": o.id, "hide_explicit": True}, "insert update delete", {"hide_explicit": False},
        key=("owner",),
    ),
    "lists": _kept(
        lambda o: _id() | {"owner": o.id, "name": "n"}, "insert update delete", {"name": "x"}, public=True
    ),
    "list_items": _kept(
        lambda o: {"list_id": o.made["list"]} | on(), "insert update delete", {"note": "x"}, public=True,
        key=("list_id", "feature"),
    ),
    "stars": _kept(lambda o: _id() | {"owner": o.id} | on(), "insert delete", {"feature": 1}, public=True),
    "comments": _kept(
        lambda o: _id() | {"owner": o.id, "body": "b"} | on(), "insert update", {"body": "x"}, public=True
    ),
    "reports": _kept(
        lambda o: _id() | {"owner": o.id, "list_id": o.made["list"], "why": "w"}, "insert", {"why": "x"}
    ),
    "moderation": _kept(lambda o: {"moderator": o.id, "what": "hide"}, "", {"why": "x"}, key=("moderator",)),
    "suites": _kept(
        lambda o: _id() | {"owner": o.id, "name": "n"} | on(), "insert update delete", {"threshold": 3}, public=True
    ),
    "suite_runs": _kept(
        lambda o: _id() | {"suite_id": o.made["suite"], "build": "b", "threshold": 0, "results": RUN, "passed": 1,
                           "failed": 0},
        "insert delete", {"passed": 0}, public=True,
    ),
    "saved": _kept(
        lambda o: _id() | {"owner": o.id, "kind": "search", "name": "n", "link": "/search?a", "visibility": "public"},
        "insert update delete", {"name": "x"}, public=True,
    ),
    "api_keys": _kept(
        lambda o: _id() | {"owner": o.id, "name": "n", "start": "fs_abcde", "hash": uuid.uuid4().hex * 2},
        "insert update", {"revoked_at": "2026-01-01T00:00:00Z"},
    ),
    "explanations": _kept(
        lambda o: _id() | {"owner": o.id, "text": "t"} | on(), "insert update delete", {"text": "x"}, public=True
    ),
    "explanation_votes": _kept(
        lambda o: _id() | {"owner": o.id, "explanation": "any", "hash": "a" * 64, "vote": 1} | on(),
        "insert update delete", {"vote": -1}, public=True,
    ),
    "explanation_marks": _kept(
        lambda o: _id() | {"owner": o.id, "mark": "mess"} | on(), "insert delete", {"mark": "none"}, public=True
    ),
    "campaigns": _kept(
        lambda o: _id() | {"owner": o.id, "name": "n", "sources": ["m/1-res"]}, "insert update delete", {"name": "x"},
        public=True,
    ),
    "plays": _kept(
        lambda o: _id() | {"owner": o.id, "kind": "odd", "seed": 1, "answer": {"odd": 1}} | on(), "insert update",
        {"words": "x"}, public=True,
    ),
    "usage": _kept(lambda o: _id() | {"owner": o.id, "kind": "k", "amount": 1}, "insert", {"amount": 2}),
    "paces": _kept(lambda o: {"owner": o.id, "what": "explanations", "n": 1}, "", {"n": 2}, key=("owner",)),
}  # fmt: skip
NAMES = sorted(TABLES)


def where(kept, row):
    return "&".join(f"{name}=eq.{row[name]}" for name in kept.key)


def truth(stack, table, kept, row):
    """The row as it is, whoever looks."""
    found = " and ".join(f"{name}::text = %s" for name in kept.key)
    return stack.sql(f"select to_jsonb(t) from public.{table} t where {found}", *(str(row[n]) for n in kept.key))


def columns_of(stack, table):
    asked = "select column_name from information_schema.columns where table_schema = 'public' and table_name = %s"
    return {row[0] for row in stack.sql(asked, table)}


@pytest.fixture
def there(stack):
    """A row of each table with its owner, made by its owner or, where nobody makes one, by the database."""

    def make(table):
        kept = TABLES[table]
        owner = settled(stack)
        if table == "profiles":
            owner = somebody(stack, profile=False)
        row = kept.row(owner)
        if "insert" in kept.may:
            answer = owner.add(table, row)
            assert answer.status_code == 201, answer.text
        else:
            names = ", ".join(row)
            stack.sql(f"insert into public.{table} ({names}) values ({', '.join(['%s'] * len(row))})", *row.values())
        return kept, owner, row

    return make


# -- every table, every command ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", NAMES)
def test_the_owner(stack, there, table):
    """May what is theirs, and nothing beyond."""
    kept, owner, row = there(table)
    found = where(kept, row)
    if table not in {"moderation"}:
        assert len(owner.rows(table, found)) == 1
    before = truth(stack, table, kept, row)
    changed = owner.change(table, found, kept.change)
    if "update" in kept.may:
        assert changed.status_code == 204 and truth(stack, table, kept, row) != before
    else:
        assert changed.status_code in REFUSED and changed.json()["code"] == "42501"
        assert truth(stack, table, kept, row) == before
    removed = owner.remove(table, found)
    if "delete" in kept.may:
        assert removed.status_code == 204 and truth(stack, table, kept, row) == []
    else:
        assert removed.status_code in REFUSED and len(truth(stack, table, kept, row)) == 1
    if "insert" not in kept.may:
        assert owner.add(table, kept.row(owner)).status_code in REFUSED


@pytest.mark.parametrize("who", ["another", "nobody", "anonymous"])
@pytest.mark.parametrize("table", NAMES)
def test_the_others(stack, there, table, who):
    """Neither change nor remove it, nor make one in the owner's name; and read it only where it is public."""
    kept, owner, row = there(table)
    other = {
        "another": lambda: settled(stack), "nobody": lambda: Caller(stack),
        "anonymous": lambda: somebody(stack, anonymous=True),
    }[who]()  # fmt: skip
    found, before = where(kept, row), truth(stack, table, kept, row)
    assert len(other.rows(table, found)) == (1 if kept.public else 0)
    for answer in (other.change(table, found, kept.change), other.remove(table, found)):
        assert answer.status_code in REFUSED | {204}
    assert truth(stack, table, kept, row) == before != []
    forged = kept.row(settled(stack) if table != "profiles" else somebody(stack, profile=False))
    answer = other.add(table, forged)
    assert answer.status_code in REFUSED and answer.json()["code"] == "42501"
    assert truth(stack, table, kept, forged) == [] or "insert" not in kept.may
    replaced = other.ask(
        "POST", f"{table}?on_conflict={','.join(kept.key)}", row, Prefer="resolution=merge-duplicates,return=minimal"
    )
    assert replaced.status_code in REFUSED | {400} and truth(stack, table, kept, row) == before
    if who != "another":
        own = Caller(stack, made=owner.made, id=other.id or str(uuid.uuid4()))
        assert other.add(table, kept.row(own)).status_code in REFUSED, "not in their own name either"


@pytest.mark.parametrize("name", ["owner", "id"])
def test_what_is_ones_own_is_given_to_nobody(stack, name):
    """A row changes neither its owner nor its id."""
    anna, bert = settled(stack), settled(stack)
    for table in ("lists", "comments", "suites"):
        id = anna.made[table.removesuffix("s")]
        answer = anna.change(table, f"id=eq.{id}", {name: bert.id})
        assert answer.status_code == 403 and answer.json()["code"] == "42501"


def test_no_list_or_suite_takes_things_of_others(stack):
    anna, bert = settled(stack), settled(stack)
    item = {"list_id": anna.made["list"]} | on()
    assert anna.add("list_items", item).status_code == 201
    answer = anna.change("list_items", f"feature=eq.{item['feature']}", {"list_id": bert.made["list"]})
    assert answer.status_code == 403
    assert len(anna.rows("list_items", f"list_id=eq.{anna.made['list']}&feature=eq.{item['feature']}")) == 1


@pytest.mark.parametrize("token", ["expired", "tampered", "service"])
def test_tokens_that_are_not_theirs(stack, token):
    anna = settled(stack)
    claims = stack.keys.verify(anna.token)
    if token == "expired":
        anna.token = stack.keys.sign(claims | {"exp": claims["iat"] - 3600})
    elif token == "tampered":
        anna.token = anna.token[:-4] + ("AAAA" if anna.token[-4:] != "AAAA" else "BBBB")
    else:
        anna.token = type(stack.keys)("another secret, as long as a secret has to be").sign({"role": "service_role"})
    for answer in (anna.add("stars", on()), anna.ask("GET", "lists"), anna.ask("GET", "usage")):
        assert answer.status_code == 401


# -- the catalogue -----------------------------------------------------------------------------------------------------

NOBODY = set()
ALL = {"anon", "authenticated"}
VIEWS = {
    "list_cards", "star_rows", "comment_rows", "suite_cards", "listed_features", "happenings", "explanation_rows",
    "explanation_vote_counts", "explanation_mark_counts", "campaign_rows", "play_rows", "play_days",
}  # fmt: skip
READERS = {
    **{name: ALL for name in VIEWS | {name for name, kept in TABLES.items() if kept.public} | {"moderators"}},
    **{name: {"authenticated"} for name in ("preferences", "reports", "moderation", "usage", "paces", "api_keys")},
}
FUNCTIONS = {
    "author": ALL, "link": ALL, "moderates": ALL, "new_list": {"authenticated"}, "touch": NOBODY, "guard_list": NOBODY,
    "guard_items": NOBODY, "guard_comment": NOBODY, "guard_count": NOBODY, "guard_explanation": NOBODY,
    "guard_pace": NOBODY, "keep_pace": NOBODY,
}  # fmt: skip
SENT = {
    "profiles": ("id name about", "name about"),
    "moderators": ("", ""),
    "preferences": ("owner hide_explicit", "owner hide_explicit"),
    "lists": (
        "id owner name about visibility test_text", "name about visibility test_text hidden_at hidden_why",
    ),
    "list_items": (
        "list_id model_id source_id feature note weight position",
        "list_id model_id source_id feature note weight position",
    ),
    "stars": ("id owner model_id source_id feature list_id", ""),
    "comments": (
        "id owner model_id source_id feature list_id parent body", "body deleted_at hidden_at hidden_why",
    ),
    "explanations": ("id owner model_id source_id feature text", "text hidden_at hidden_why"),
    "explanation_votes": ("id owner model_id source_id feature explanation hash vote", "hash vote"),
    "explanation_marks": ("id owner model_id source_id feature mark", ""),
    "reports": ("id owner comment_id list_id explanation_id why", "closed_at"),
    "moderation": ("moderator comment_id list_id explanation_id what why before", ""),
    "suites": (
        "id owner model_id source_id feature name about visibility threshold cases",
        "name about visibility threshold cases",
    ),
    "suite_runs": ("id suite_id build threshold results passed failed", ""),
    "saved": ("id owner kind name link visibility record", "name visibility"),
    "api_keys": ("id owner name start hash", "revoked_at"),
    "campaigns": ("id owner name about sources", "name about sources"),
    "plays": ("id owner model_id source_id feature kind seed campaign_id answer words", "words"),
    "usage": ("id owner kind amount", ""),
    "paces": ("owner what n", ""),
}  # fmt: skip
"""The columns that a signed-in person may give when a row is made, and later."""


@pytest.fixture(scope="module", params=["new", "legacy"])
def any_stack(request):
    """A project of today, and one whose defaults give everything away."""
    if request.param == "new":
        yield request.getfixturevalue("stack")
    elif why := missing():
        pytest.skip(why)
    else:
        with Stack(legacy=True) as made:
            yield made


def test_every_table_is_spoken_of(any_stack):
    asked = (
        "select relname, relkind, relrowsecurity, reloptions from pg_class where relnamespace = 'public'::regnamespace"
    )
    found = any_stack.sql(asked)
    tables = {name: secured for name, kind, secured, _ in found if kind in "rpf"}
    assert set(tables) == set(TABLES) == set(SENT), "a table without tests"
    assert all(tables.values()), "a table without row-level security"
    views = {name: options for name, kind, _, options in found if kind in "vm"}
    assert set(views) == VIEWS
    assert all("security_invoker=true" in (options or []) for options in views.values())


def test_the_grants_are_these_and_no_others(any_stack):
    for name, roles in READERS.items():
        readable = {
            role
            for role in ALL
            if any_stack.sql("select has_any_column_privilege(%s, %s, 'select')", role, f"public.{name}")[0][0]
        }
        assert readable == roles, name
    granted = any_stack.sql(
        "select grantee, table_name, lower(privilege_type), column_name from information_schema.column_privileges "
        "where table_schema = 'public' and grantee in ('anon', 'authenticated', 'PUBLIC') "
        "and privilege_type <> 'SELECT'"
    )
    expected = {
        ("authenticated", table, command, column)
        for table, both in SENT.items()
        for command, columns in zip(("insert", "update"), both, strict=True)
        for column in columns.split()
    }
    assert {row for row in granted if row[1] in SENT} == expected
    assert not [row for row in granted if row[1] not in SENT], "a view that is written to"
    rest = any_stack.sql(
        "select grantee, table_name, lower(privilege_type) from information_schema.table_privileges where"
        " table_schema = 'public' and grantee in ('anon', 'authenticated', 'PUBLIC') and"
        " privilege_type not in ('SELECT', 'INSERT', 'UPDATE')"
    )
    deletes = {("authenticated", name, "delete") for name, kept in TABLES.items() if "delete" in kept.may}
    assert set(rest) == deletes, "nobody truncates, references or makes triggers"


def test_every_grant_has_one_policy(any_stack):
    found = any_stack.sql(
        "select tablename, policyname, permissive, roles, lower(cmd) from pg_policies where schemaname = 'public'"
    )
    kinds = [(table, command) for table, _, _, _, command in found]
    assert len(kinds) == len(set(kinds)) and not any(command == "all" for _, command in kinds), "one policy a command"
    assert all(permissive == "PERMISSIVE" for _, _, permissive, _, _ in found)
    policies = {(table, command): set(roles) for table, _, _, roles, command in found}
    expected = {(name, READ): roles for name, roles in READERS.items() if name in TABLES}
    for table, (insert, update) in SENT.items():
        for command, columns in (("insert", insert), ("update", update)):
            if columns:
                expected[table, command] = {"authenticated"}
        if "delete" in TABLES[table].may:
            expected[table, "delete"] = {"authenticated"}
    assert policies == expected


def test_functions_run_as_who_calls_them(any_stack):
    found = any_stack.sql(
        "select p.proname, p.prosecdef, p.proconfig, array(select r from unnest(array['anon', 'authenticated']) r"
        " where has_function_privilege(r, p.oid, 'execute')) from pg_proc p where pronamespace = 'public'::regnamespace"
    )
    assert {name: set(roles) for name, _, _, roles in found} == FUNCTIONS
    for name, definer, config, _ in found:
        assert not definer and config == ['search_path=""'], name


def test_every_owner_is_indexed(any_stack):
    """Row-level security asks for the owner at every row."""
    for table in TABLES:
        if "owner" in columns_of(any_stack, table):
            found = any_stack.sql("select indexdef from pg_indexes where tablename = %s", table)
            assert any("(owner" in definition for (definition,) in found), table


# -- what is not found by looking --------------------------------------------------------------------------------------


def test_unlisted_things_cannot_be_enumerated(stack):
    """Nothing of an unlisted list, suite or saved view is in any table or view, but for whoever names its id."""
    anna, feature = settled(stack, "unlisted"), on()
    secret = f"secret-{uuid.uuid4().hex}"
    listed, suite, view = anna.made["list"], anna.made["suite"], str(uuid.uuid4())
    rows = {
        "list_items": {"list_id": listed, "note": secret} | feature,
        "stars": {"list_id": listed},
        "comments": {"list_id": listed, "body": secret},
        "suite_runs": {"suite_id": suite, "build": secret, "threshold": 0, "results": RUN, "passed": 1, "failed": 0},
        "saved": {"id": view, "kind": "search", "name": secret, "link": "/search?a", "visibility": "unlisted"},
    }
    for table, row in rows.items():
        assert anna.add(table, row).status_code == 201
    for change in ({"name": secret, "about": secret},):
        assert anna.change("lists", f"id=eq.{listed}", change).status_code == 204
        assert anna.change("suites", f"id=eq.{suite}", change).status_code == 204
    ids = {"list": listed, "suite": suite, "view": view}
    wrong = ["", str(uuid.uuid4()), "*", f"{listed},{suite}", listed[:-1], listed.upper(), "%", f"{listed}%"]
    for reader in (Caller(stack), somebody(stack), somebody(stack, anonymous=True)):
        for reader.link in wrong:
            for name in sorted(READERS):
                if reader.link not in wrong[:2] or (reader.token == "" and "anon" not in READERS[name]):
                    continue
                columns = "id,name" if name == "api_keys" else "*"
                for order in ("", "&order=created_at.desc"):
                    if order and name == "preferences":
                        continue
                    found = reader.ask("GET", f"{name}?select={columns}{order}&limit=1000")
                    assert found.status_code == 200, found.text
                    assert secret not in found.text
                    assert not [id for id in ids.values() if id in found.text], name
            for name, id in (("lists", listed), ("list_cards", listed), ("suites", suite), ("saved", view)):
                assert reader.rows(name, f"id=eq.{id}") == []
    reader = Caller(stack, link=listed)
    assert [row["name"] for row in reader.rows("list_cards", "visibility=eq.unlisted")] == [secret]
    assert {row["note"] for row in reader.rows("list_items", f"list_id=eq.{listed}")} == {secret}
    assert secret in {row["body"] for row in reader.rows("comment_rows", f"list_id=eq.{listed}")}
    assert reader.rows("suites", f"id=eq.{suite}") == reader.rows("saved", f"id=eq.{view}") == []
    assert len(Caller(stack, link=suite).rows("suite_runs", f"suite_id=eq.{suite}")) == 1
    assert len(Caller(stack, link=view).rows("saved", "visibility=eq.unlisted")) == 1


def test_private_things_are_for_nobody_with_a_link_either(stack):
    anna = settled(stack, "private")
    for id in (anna.made["list"], anna.made["suite"]):
        for reader in (Caller(stack, link=id), somebody(stack)):
            reader.link = id
            for name in ("lists", "list_cards", "suites", "suite_cards"):
                assert reader.rows(name, f"id=eq.{id}") == []
            assert reader.rows("comments", f"list_id=eq.{anna.made['list']}") == []


def test_what_is_private_and_what_is_not_there_answer_alike(stack):
    anna, bert = settled(stack, "private"), somebody(stack)
    for table, row in (("stars", {}), ("comments", {"body": "x"}), ("reports", {"why": "x"})):
        answers = [bert.add(table, row | {"list_id": id}) for id in (anna.made["list"], str(uuid.uuid4()))]
        assert answers[0].status_code == answers[1].status_code == 403
        assert answers[0].json() == answers[1].json()
    for parent in (anna.made["comment"], str(uuid.uuid4())):
        answer = bert.add("comments", {"body": "x", "parent": parent} | on())
        assert (answer.status_code, answer.json()["message"]) == (
            400,
            "A reply belongs to a comment on the same thing.",
        )


def test_a_hidden_list_is_for_its_owner_and_moderators(stack):
    anna, mod = settled(stack), moderator(stack)
    id = anna.made["list"]
    assert mod.change("lists", f"id=eq.{id}", {"hidden_at": "now", "hidden_why": "rude"}).status_code == 204
    assert len(anna.rows("lists", f"id=eq.{id}")) == len(mod.rows("lists", f"id=eq.{id}")) == 1
    for reader in (Caller(stack, link=id), somebody(stack)):
        assert reader.rows("lists", f"id=eq.{id}") == reader.rows("comments", f"list_id=eq.{id}") == []
    trail = mod.rows("moderation", f"list_id=eq.{id}")
    assert [(row["what"], row["why"], row["moderator"]) for row in trail] == [("hide", "rude", mod.id)]
    assert anna.rows("moderation", f"list_id=eq.{id}") == []


# -- single columns ----------------------------------------------------------------------------------------------------


def test_the_hash_of_a_key_is_never_read(stack, there):
    _, owner, row = there("api_keys")
    for asked in ("select=hash", "select=*", f"hash=eq.{row['hash']}&select=id", "select=id&order=hash"):
        answer = owner.ask("GET", f"api_keys?{asked}")
        assert answer.status_code == 403 and row["hash"] not in answer.text
    answer = owner.ask("POST", "api_keys", TABLES["api_keys"].row(owner), Prefer="return=representation")
    assert answer.status_code == 403, "not even when it is made"


@pytest.mark.parametrize("table", [name for name in NAMES if "insert" in TABLES[name].may])
def test_when_something_was_made_is_not_theirs_to_say(stack, table):
    owner = settled(stack) if table != "profiles" else somebody(stack, profile=False)
    columns = columns_of(stack, table)
    sent = set(SENT[table][0].split())
    for column in sorted(columns - sent):
        value = {"name_key": "x", "hidden_why": "x"}.get(column, "2001-01-01T00:00:00Z")
        answer = owner.add(table, TABLES[table].row(owner) | {column: value})
        assert answer.status_code in {400, 403}, column
        assert answer.json()["code"] in {"42501", "428C9"}, column


def test_moderation_is_for_moderators(stack):
    anna, mod = settled(stack), moderator(stack)
    comment, listed = anna.made["comment"], anna.made["list"]
    for table, id in (("comments", comment), ("lists", listed)):
        for values in ({"hidden_at": "now", "hidden_why": "x"}, {"hidden_why": "x"}):
            answer = anna.change(table, f"id=eq.{id}", values)
            assert answer.status_code == 403 and answer.json()["message"] == "Only a moderator hides or shows."
    answer = mod.change("comments", f"id=eq.{comment}", {"body": "mine"})
    assert answer.status_code == 403 and "Only who wrote" in answer.text
    answer = mod.change("lists", f"id=eq.{listed}", {"name": "mine"})
    assert answer.status_code == 403 and "Only its owner" in answer.text
    values = {"hidden_at": "2001-01-01", "hidden_why": "rude", "body": "mine", "deleted_at": "2001-01-01"}
    assert mod.change("comments", f"id=eq.{comment}", values).status_code == 204
    (row,) = mod.rows("comments", f"id=eq.{comment}")
    assert (row["body"], row["deleted_at"], row["hidden_why"]) == ("", None, "rude") and row["hidden_at"] > "2026"
    assert anna.change("comments", f"id=eq.{comment}", {"body": "again"}).status_code == 403
    answer = anna.change("comments", f"id=eq.{comment}", {"hidden_at": None, "hidden_why": ""})
    assert answer.status_code == 403
    for values in ({"hidden_at": None, "body": "mine"},):
        assert mod.change("comments", f"id=eq.{comment}", values).status_code == 204
    (row,) = mod.rows("comments", f"id=eq.{comment}")
    assert (row["body"], row["hidden_why"], row["hidden_at"], row["edited_at"]) == ("c", "", None, None)
    answer = mod.change("comments", f"id=eq.{comment}", {"hidden_why": "a reason for nothing"})
    assert mod.rows("comments", f"id=eq.{comment}")[0]["body"] == "c"
    answer = mod.add("moderation", {"moderator": mod.id, "comment_id": comment, "what": "hide", "before": "forged"})
    assert answer.status_code == 403, "the trail is written by what was done"
    assert [row["what"] for row in mod.rows("moderation", f"comment_id=eq.{comment}&order=created_at")][:2] == [
        "hide", "show",
    ]  # fmt: skip


def test_reports_are_closed_by_moderators(stack, there):
    kept, owner, row = there("reports")
    mod, found = moderator(stack), where(*there("reports")[::2])
    found = where(kept, row)
    assert owner.change("reports", found, {"closed_at": "now"}).status_code == 204
    assert truth(stack, "reports", kept, row)[0][0]["closed_at"] is None, "of no row"
    assert len(mod.rows("reports", found)) == 1
    assert mod.change("reports", found, {"why": "x"}).status_code == 403
    assert mod.change("reports", found, {"closed_at": "now"}).status_code == 204
    assert truth(stack, "reports", kept, row)[0][0]["closed_at"] is not None
    again = row | {"id": str(uuid.uuid4())}
    assert owner.add("reports", again).json()["code"] == "23505", "once a person"


def test_a_key_is_revoked_for_good(stack, there):
    _, owner, row = there("api_keys")
    assert owner.change("api_keys", f"id=eq.{row['id']}", {"revoked_at": "now"}).status_code == 204
    assert owner.change("api_keys", f"id=eq.{row['id']}", {"revoked_at": None}).status_code == 403
    assert owner.change("api_keys", f"id=eq.{row['id']}", {"used_at": None}).status_code == 403


def test_a_comment_that_was_taken_back_stays_so(stack):
    anna = settled(stack)
    found = f"id=eq.{anna.made['comment']}"
    assert anna.change("comments", found, {"body": "kept?", "deleted_at": "2001-01-01"}).status_code == 204
    (row,) = anna.rows("comments", found)
    assert row["body"] == "" and row["deleted_at"] > "2026"
    for values in ({"body": "again"}, {"deleted_at": None}, {"deleted_at": None, "body": "x"}):
        assert anna.change("comments", found, values).status_code == 403


# -- limits ------------------------------------------------------------------------------------------------------------

BOUNDS = [
    ("profiles", "about", limits.ABOUT), ("lists", "name", limits.TITLE), ("lists", "about", limits.DESCRIPTION),
    ("lists", "test_text", limits.TEST_TEXT), ("list_items", "note", limits.NOTE), ("comments", "body", limits.COMMENT),
    ("reports", "why", limits.REASON), ("suites", "name", limits.TITLE), ("suites", "about", limits.DESCRIPTION),
    ("saved", "name", limits.SAVED_NAME), ("api_keys", "name", limits.KEY_NAME), ("lists", "hidden_why", limits.REASON),
    ("comments", "hidden_why", limits.REASON), ("moderation", "why", limits.REASON),
    ("explanations", "text", limits.EXPLANATION), ("campaigns", "name", limits.TITLE),
    ("campaigns", "about", limits.DESCRIPTION), ("plays", "words", limits.EXPLANATION),
]  # fmt: skip


def as_master(stack):
    return Caller(stack, stack.keys.service_jwt)


@pytest.mark.parametrize(("table", "column", "most"), BOUNDS)
def test_the_bounds_of_a_text_are_those_of_limits(stack, table, column, most):
    """Also for the secret key: a constraint holds for everybody."""
    owner = settled(stack) if table != "profiles" else somebody(stack, profile=False)
    more = {"hidden_at": "2026-01-01"} if column == "hidden_why" else {}
    more |= {"body": ""} if (table, column) == ("comments", "hidden_why") else {}
    sender = as_master(stack) if more or table == "moderation" else owner
    refused = sender.add(table, TABLES[table].row(owner) | more | {column: "𝕏" * (most + 1)})
    assert refused.status_code == 400 and refused.json()["code"] == "23514"
    answer = sender.add(table, TABLES[table].row(owner) | more | {column: "𝕏" * most})
    assert answer.status_code == 201, answer.text


def cases(bytes):
    """Of so many bytes as PostgreSQL writes it."""
    frame = len('[{"text": "", "fires": true}]')
    return [{"text": "x" * (bytes - frame), "fires": True}]


def results(bytes):
    frame = len('[{"why": "", "text": "", "fires": true, "value": 1, "passed": true}]')
    return [{"why": "", "text": "x" * (bytes - frame), "fires": True, "value": 1, "passed": True}]


NO = "no such value"
VALUES = [
    ("list_items", "weight", [limits.WEIGHT, -limits.WEIGHT, 0], [1000.0001, -1001, "NaN", "Infinity"]),
    ("list_items", "position", [0, 5], [-1]),
    ("list_items", "feature", [0, limits.INDEX], [-1, limits.INDEX + 1, 1.5, NO]),
    ("list_items", "model_id", ["a", "A.b_c-9", "a" * 96], ["", "-a", "a b", "a/b", "a\n", "é", "a" * 97]),
    ("list_items", "source_id", ["0-a", "12-res-jb__32k", "1-" + "a" * 94], ["a", "1-", "12345-a", "1-a\n", "1-a/b"]),
    ("lists", "visibility", ["public", "unlisted", "private"], [NO, "", "PUBLIC", None]),
    ("lists", "name", [" a ", "é"], ["", " ", "\n\t", None]),
    ("lists", "id", [], ["x", None]),
    ("comments", "body", ["x", " x"], ["", " \n", None]),
    ("reports", "why", ["x"], ["", " "]),
    ("suites", "threshold", [-1e300, 0, 1e300], ["NaN", "Infinity", "-Infinity"]),
    ("suites", "cases", [
        [], [{"text": "a", "fires": True}] * limits.CASES, cases(limits.CASES_BYTES)
    ], [
        [{"text": "a", "fires": True}] * (limits.CASES + 1), cases(limits.CASES_BYTES + 1), {}, "x", 1, None,
        [{"text": 1, "fires": True}], [{"text": "a", "fires": 1}], [{"fires": True}], [{"text": "a"}], ["a"], [None],
        [[]], [{"text": None, "fires": True}], [{"text": "a", "fires": True}, {}],
    ]),
    ("suite_runs", "results", [RUN, [RUN[0] | {"value": None}], results(400_000)], [
        [], RUN * 2, results(400_001), {}, "x", [1], [RUN[0] | {"value": "1"}], [RUN[0] | {"passed": "yes"}],
        [RUN[0] | {"why": 1}], [{k: v for k, v in RUN[0].items() if k != "value"}], [RUN[0] | {"text": None}],
        [RUN[0] | {"fires": None}],
    ]),
    ("suite_runs", "threshold", [0.5], ["NaN", "Infinity", None]),
    ("suite_runs", "passed", [1], [-1, 0, 2]),
    ("saved", "link", ["/search?" + "a" * (limits.LINK - 8), "/search?x=%20'"[:-1]], [
        "/search?" + "a" * (limits.LINK - 7), "/search?", "/search", "//evil?x", "https://x/search?a", "javascript:1",
        "/search?a b", "/search?a\nb", "/search?<b>", '/search?"', "/search?'", "/feature?a", "/lists?a",
    ]),
    ("saved", "kind", ["search"], [NO, "test", ""]),
    ("saved", "record", [None, {"a": 1}], [{"a": "x" * limits.RECORD_BYTES}]),
    ("profiles", "name", ["ab", "A" * 32], ["a", "a" * 33, "-a", "a b", "é1", "ab\n", "a/b", ""]),
    ("api_keys", "hash", [], ["", "x" * 64, "A" * 64, "a" * 63, None]),
    ("api_keys", "start", ["fs_a"], ["abc", "x" * 17]),
    ("usage", "amount", [0.5], [0, -1, "NaN", "Infinity"]),
    ("usage", "kind", ["k", "k" * 40], ["", "k" * 41]),
    ("explanations", "text", ["x", " x | y "], ["", " ", "a\nb", None]),
    ("explanation_votes", "vote", [1, -1], [0, 2, None]),
    ("explanation_votes", "hash", ["0" * 64], ["", "A" * 64, "0" * 63, None]),
    ("explanation_votes", "explanation", ["annotation:m/1-res/3", "x" * 200], ["", " ", "x" * 201, None]),
    ("explanation_marks", "mark", ["none", "mess", "several"], ["", NO, None]),
    ("campaigns", "sources", [["m/1-res"], ["m/1-res"] * 100], [[], ["m/1-res"] * 101, [1], {}, "x", None]),
    ("plays", "kind", ["name", "predict", "odd", "compare"], ["", NO, None]),
    ("plays", "seed", [0, 2**32 - 1], [-1, 2**32, 1.5, None]),
    ("plays", "answer", [{}, {"odd": 1}], [[], "x", 1, {"x": "y" * 4000}, None]),
    ("stars", "list_id", [], ["x"]),
    ("stars", "feature", [], [None]),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "good", "bad"), VALUES, ids=lambda v: v if isinstance(v, str) else "")
def test_values(stack, table, column, good, bad):
    def sent(value):
        owner = settled(stack) if table != "profiles" else somebody(stack, profile=False)
        return owner.add(table, TABLES[table].row(owner) | {column: value})

    for value in good:
        answer = sent(value)
        assert answer.status_code == 201, (value, answer.text)
    for value in bad:
        answer = sent(value)
        assert answer.status_code in {400, 403}, value
        assert answer.json()["code"][:2] in {"23", "22", "42"}, (value, answer.text)


def test_a_thing_is_a_feature_or_a_list(stack):
    anna = settled(stack)
    both = on() | {"list_id": anna.made["list"]}
    for row in (both, {}, {"model_id": "m"}, {"model_id": "m", "feature": 1}, {"source_id": "1-a", "feature": 1}):
        for table, more in (("stars", {}), ("comments", {"body": "x"})):
            assert anna.add(table, row | more).json()["code"] == "23514"
    for row in ({"comment_id": anna.made["comment"], "list_id": anna.made["list"]}, {}):
        assert anna.add("reports", row | {"why": "x"}).status_code in {400, 403}


def test_a_star_is_given_once(stack):
    anna, feature = settled(stack), on()
    for row in (feature, {"list_id": anna.made["list"]}):
        assert anna.add("stars", row).status_code == 201
        assert anna.add("stars", row).json()["code"] == "23505"


@pytest.mark.parametrize(
    ("table", "most"),
    [("lists", limits.LISTS), ("suites", limits.SUITES), ("saved", limits.SAVED), ("api_keys", limits.KEYS)],
)
def test_how_many_at_once(stack, table, most):
    """In one request, and in several at the same time."""
    anna = somebody(stack)
    anna.made = {"list": "", "suite": ""}
    many = [TABLES[table].row(anna) for _ in range(most + 1)]
    assert anna.add(table, many).json()["code"] == "23514"
    assert anna.add(table, many[: most - 1]).status_code == 201
    with ThreadPoolExecutor(6) as pool:
        answers = [
            found.status_code for found in pool.map(lambda _: anna.add(table, TABLES[table].row(anna)), range(6))
        ]
    assert sorted(answers) == [201] + [400] * 5


def test_no_list_is_filled_beyond_its_bound_by_moving(stack):
    anna = settled(stack)
    other = str(uuid.uuid4())
    anna.add("lists", {"id": other, "name": "n"})
    full = [{"list_id": anna.made["list"]} | on() for _ in range(limits.ITEMS)]
    assert anna.add("list_items", [*full, {"list_id": anna.made["list"]} | on()]).json()["code"] == "23514"
    assert anna.add("list_items", full).status_code == 201
    assert anna.add("list_items", {"list_id": anna.made["list"]} | on()).json()["code"] == "23514"
    assert anna.add("list_items", {"list_id": other} | on()).status_code == 201
    moved = anna.change("list_items", f"list_id=eq.{other}", {"list_id": anna.made["list"]})
    assert moved.status_code == 400 and "at most 1000 features" in moved.text


def test_the_tables_of_the_file_are_those_of_the_project(stack, tmp_path):
    """Names and columns; a view gives the same columns from both."""
    file = File(tmp_path)
    Alone(file, "you")
    with file.writing() as db:
        of_file = {
            name: {row[1] for row in db.exec_driver_sql(f"pragma table_xinfo({name})")} for name in {*TABLES, *VIEWS}
        }
    found = stack.sql("select table_name, column_name from information_schema.columns where table_schema = 'public'")
    of_project = {name: {column for table, column in found if table == name} for name in {*TABLES, *VIEWS}}
    assert of_file == of_project
