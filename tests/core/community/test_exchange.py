"""Export and import: the same data on the other side, whichever store is on either; damaged files change nothing."""

from __future__ import annotations

import json
import stat
import uuid

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import __main__ as cli
from core.community import exchange, shapes
from core.community.alike import digest
from core.community.alone import Alone
from core.community.carry import Carrier
from core.community.file import File
from core.community.hosted import Hosted
from core.community.people import People
from core.community.records import Case, CaseResult, Item, SuiteRun
from core.community.schema import ME, METADATA
from core.errors import BadInput, NotAvailable, NotFound, Unreachable
from tests.core.community.conftest import Local, Shared, a_feature, moderator, tokens
from tests.core.community.stalling import refusing
from tests.stack.stack import Stack

OWN = ("profiles", "preferences", "lists", "list_items", "stars", "comments", "explanations", "explanation_votes",
       "explanation_marks", "reports", "suites", "suite_runs", "saved", "campaigns", "plays", "usage")  # fmt: skip


def fill(person, text="é 🙂\n'\"\\ %"):
    """Something in every table that a person writes."""
    feature, other = a_feature(), a_feature()
    person.describe(about=text)
    person.hide_explicit(True)
    made = person.lists.new("public", text, test_text=text, items=[Item(feature, text, -2.5), Item(other, "", 1e-7)])
    person.lists.new("private", visibility="private")
    person.stars.add(feature)
    person.stars.add(made)
    first = person.comments.post(feature, text)
    answer = person.comments.post(feature, "answer", parent=first)
    person.comments.post(made, "on a list")
    person.comments.edit(answer, "edited")
    person.comments.delete(first)
    person.comments.report("why", list=made)
    said = person.explanations.write(feature, f"{text} | another")
    person.explanations.vote(feature, [(said, digest("any")), ("by-a-machine", digest("x"))], -1)
    person.explanations.mark(feature, "several")
    person.comments.report("why", explanation=said)
    campaign = person.plays.begin("campaign", ["tiny/1-res"], about=text)
    person.plays.answer(feature, kind="odd", seed=7, answer={"odd": 2}, words=text, campaign=campaign)
    suite = person.suites.new(feature, "suite", [Case(text, True), Case("b", False)], threshold=0.1)
    results = (CaseResult(Case(text, True), 1.25, True), CaseResult(Case("b", False), None, False, "no"))
    person.suites.keep(SuiteRun(suite, "build", 0.1, results, ""))
    person.saved.keep("/search?text=a%20b", "view")
    person.keys.new("key")
    person.keys.use("explain", 2.5, 10)
    return made


def parsed(lines):
    return [orjson.loads(line) for line in lines]


def tables(lines):
    return {row["table"] for row in parsed(lines)[1:-1]}


def timeless(line):
    """A row without when it was changed."""
    return {name: value for name, value in orjson.loads(line)["row"].items() if name != "updated_at"}


def write(path, lines):
    path.write_bytes(b"".join(lines))
    return path


def another(folder):
    return Carrier(Alone(File(folder), "you"), "")


def master(stack):
    return Carrier(Hosted(stack.url, stack.keys.publishable, ()), stack.keys.secret_key)


@pytest.fixture(scope="module")
def empty():
    """A project of its own, since a whole server is exported."""
    from tests.stack.stack import missing

    if why := missing():
        pytest.skip(why)
    with Stack() as made:
        yield made


# -- round trips -------------------------------------------------------------------------------------------------------


def test_local_to_local(tmp_path):
    """Byte for byte, and twice is once."""
    world = Local(tmp_path / "a")
    made = fill(world.anna)
    said = world.anna.comments.post(made, "rude")
    world.anna.comments.hide(said, "rude")
    lines = Carrier(world.community, "").export()
    assert tables(lines) == {*OWN, "moderation"}
    file = write(tmp_path / "file", lines)
    there = another(tmp_path / "b")
    done = there.load(file)
    assert sum(done.new.values()) == len(lines) - 2 and done.there == done.left_out == 0
    assert there.export() == lines
    done = there.load(file)
    assert done.new == {} and done.there == len(lines) - 2
    assert there.export() == lines
    fill(Local(tmp_path / "b").anna)
    more = there.export()
    assert {line for line in lines[1:-1] if b'"profiles"' not in line} < set(more), "what is there stays"


def test_a_persons_things_from_a_server_to_a_laptop_and_back(stack, tmp_path):
    """They are the local person's there, and theirs again on another server."""
    world = Shared(stack)
    made = fill(world.anna)
    name = world.anna.me.name
    world.bert.lists.new("bert's")
    lines = master(stack).export(name)
    assert tables(lines) == set(OWN)
    assert not any(b"bert" in line or b"fs_" in line for line in lines)
    laptop = another(tmp_path / "laptop")
    done = laptop.load(write(tmp_path / "file", lines))
    assert done.left_out == 0
    mine = Local(tmp_path / "laptop").anna
    assert {card.name for card in mine.lists.mine()} == {"public", "private"} and mine.stars.of(made).mine
    mine.lists.change(made, name="changed here")
    mine.lists.change(made, name="public")
    back = laptop.export()
    own = world.anna.me.id.encode()
    expected = [line for line in lines[1:-1] if b'"profiles"' not in line]
    found = [line.replace(ME.encode(), own) for line in back[1:-1] if b'"profiles"' not in line]
    assert [timeless(line) for line in found] == [timeless(line) for line in expected]
    with pytest.raises(BadInput, match="say who that is here, with --as NAME"):
        master(stack).load(write(tmp_path / "back", back))
    done = master(stack).load(tmp_path / "back", name)
    assert done.new == {}, "all of it is there already"
    carl = People(world.community, world.community.visit(tokens(stack, "carl")))
    other = [line.replace(str(uuid.UUID(made)).encode(), str(uuid.uuid4()).encode()) for line in back]
    with pytest.raises(NotFound, match="nobody called"):
        master(stack).load(write(tmp_path / "other", other), "nobody-of-this-name")
    assert carl.me is not None
    assert sum(master(stack).load(tmp_path / "other", carl.me.name).new.values()) > 0
    assert carl.lists.mine() != ()


def test_a_whole_server(empty, tmp_path):
    """From Supabase to a file on a laptop, to another Supabase: accounts are made, and everything is the same."""
    world = Shared(empty)
    anna, bert = world.anna, world.bert
    made = fill(anna)
    fill(bert)
    bert.comments.post(made, "hello")
    said = bert.comments.post(made, "rude")
    mod = moderator(empty, world.community)
    mod.comments.hide(said, "rude")
    mod.lists.hide(made, "rude")
    lines = master(empty).export()
    assert tables(lines) == set(exchange.ORDER) and master(empty).export() == lines
    file = write(tmp_path / "file", lines)
    laptop = another(tmp_path / "laptop")
    laptop.load(file)
    assert laptop.export()[1:] == lines[1:]
    read = Local(tmp_path / "laptop").anna
    assert {card.owner_name for card in read.lists.newest()} == {bert.me.name}
    with pytest.raises(BadInput, match="export of a whole server"):
        laptop.load(file, "you")
    empty.sql("delete from auth.users")
    assert len(master(empty).export()) == 2 + len([line for line in lines if b'"table":"moderation"' in line]), (
        "the trail"
    )
    empty.sql("delete from public.moderation")
    done = master(empty).load(file)
    assert sum(done.new.values()) == len(lines) - 2 and done.left_out == 0
    assert master(empty).export() == lines
    found = empty.sql("select email from auth.users order by email")
    assert len(found) == 3 and all(email == f"{email[:36]}@imported.invalid" for (email,) in found)
    assert master(empty).load(file).new == {} and master(empty).export() == lines


def test_names_that_are_taken_and_things_that_are_not_here(tmp_path, stack):
    world = Shared(stack)
    made = fill(world.anna)
    bert = world.bert
    bert.stars.add(made)
    bert.comments.post(made, "on anna's list")
    bert.comments.report("why", list=made)
    answered = bert.comments.post(a_feature(), "own")
    lines = master(stack).export(bert.me.name)
    assert sum(made.encode() in line for line in lines) == 3
    local = Local(tmp_path / "x")
    done = another(tmp_path / "x").load(write(tmp_path / "file", lines))
    assert done.left_out == 3 and [comment.id for comment in local.anna.comments.by(ME)] == [answered]
    other = Local(tmp_path / "y")
    other.anna.describe(name=bert.me.name)
    whole = [line if n else line.replace(bert.me.id.encode(), b"x") for n, line in enumerate(lines)]
    whole[0] = orjson.dumps({"featurescope": "people", "format": 1, "person": None}) + b"\n"
    another(tmp_path / "y").load(write(tmp_path / "file", whole))
    names = {row["name"] for row in other.anna._visit.rows("profiles")}
    assert names == {bert.me.name, f"{bert.me.name[:27]}-{bert.me.id[:4]}"}


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(about=TEXT, notes=st.lists(TEXT, max_size=4), weight=st.floats(-1000, 1000), threshold=st.floats(-1e300, 1e300),
       cases=st.lists(TEXT.filter(bool), min_size=1, max_size=4, unique=True), data=st.data())  # fmt: skip
def test_any_text_and_number(tmp_path_factory, about, notes, weight, threshold, cases, data):
    folder = tmp_path_factory.mktemp("any")
    world = Local(folder / "a")
    person, feature = world.anna, a_feature()
    person.lists.new("n", about, test_text=about, items=[Item(a_feature(), note, weight) for note in notes])
    suite = person.suites.new(feature, "n", [Case(text, True) for text in cases], threshold=threshold)
    value = data.draw(st.floats(allow_nan=False, allow_infinity=False))
    person.suites.keep(SuiteRun(suite, "b", threshold, (CaseResult(Case(cases[0], True), value, False, about),), ""))
    lines = Carrier(world.community, "").export()
    there = another(folder / "b")
    there.load(write(folder / "file", lines))
    assert there.export() == lines


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(about=TEXT, weight=st.floats(-1000, 1000), value=st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_and_number_by_way_of_supabase(stack, tmp_path, about, weight, value):
    world = Shared(stack)
    person, feature = world.anna, a_feature()
    person.lists.new("n", about, test_text=about, items=[Item(feature, about, weight)])
    suite = person.suites.new(feature, "n", [Case(about or "a", True)])
    person.suites.keep(SuiteRun(suite, "b", 0.0, (CaseResult(Case("a", True), value, False, about),), ""))
    lines = master(stack).export(person.me.name)
    folder = tmp_path / uuid.uuid4().hex
    there = another(folder)
    there.load(write(tmp_path / "file", lines))
    found = [line.replace(ME.encode(), person.me.id.encode()) for line in there.export()]
    assert [line for line in found if b'"profiles"' not in line] == [
        line for line in lines if b'"profiles"' not in line
    ]
    world.community.line.close()


# -- files that are refused --------------------------------------------------------------------------------------------


@pytest.fixture
def good(tmp_path):
    """The lines of a file with something in every table."""
    world = Local(tmp_path / "good")
    fill(world.anna)
    return Carrier(world.community, "").export()


def refused(tmp_path, lines, said):
    into = tmp_path / "into"
    with pytest.raises(BadInput, match=said) as error:
        another(into).load(write(tmp_path / "file", lines))
    assert "Nothing was imported." in str(error.value)
    assert not into.exists(), "nothing was written"


def test_a_file_that_was_cut(tmp_path, good):
    """Anywhere: at the end of a line or within one."""
    for count in range(len(good)):
        refused(tmp_path, good[:count], f"^Line {count + 1}: .*ends here, before its end")
    for at in (5, len(good) - 1):
        refused(tmp_path, [*good[:at], good[at][: len(good[at]) // 2]], f"^Line {at + 1}: it is no JSON")
    refused(tmp_path, [*good[:3], *good[4:]], f"^Line {len(good) - 1}: there should be {len(good) - 2} rows before it")
    refused(tmp_path, [*good, good[3]], f"^Line {len(good) + 1}: there is something after the end")
    refused(tmp_path, [*good[:4], *good[3:]], "^Line 5: this row is in the file twice")


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (b"", "ends here"), (b"\n", "no JSON"), (b"\x00\xff\xfe", "no JSON"), (b"PK\x03\x04 zip", "no JSON"),
        (b'{"a": 1}\n', "does not begin as one"), (b"[]\n", "it is no row"), (b"null\n", "it is no row"),
        (b'{"featurescope": "people", "format": 2}\n', "of format 2, and this version reads 1"),
        (b'{"featurescope": "people", "format": 1, "person": "x"}\n', "is no id"), (b"[" * 100_000, "no JSON"),
        (b'"' + b"x" * 5_000_000 + b'"', "too long"),
    ],
)  # fmt: skip
def test_foreign_files(tmp_path, first, said):
    refused(tmp_path, [first], f"^Line 1: .*{said}")


def change(good, table, **values):
    at = next(n for n, line in enumerate(good) if n and orjson.loads(line).get("table") == table)
    found = orjson.loads(good[at])
    row = {name: value for name, value in (found["row"] | values).items() if value is not ...}
    return at, [*good[:at], json.dumps(found | {"row": row}).encode() + b"\n", *good[at + 1 :]]


BAD = [
    ("lists", {"name": "x" * 121}), ("lists", {"name": " "}), ("lists", {"name": 5}), ("lists", {"about": None}),
    ("lists", {"about": "a\0b"}), ("lists", {"visibility": "secret"}), ("lists", {"id": "x"}), ("lists", {"id": ...}),
    ("lists", {"more": 1}), ("lists", {"created_at": "yesterday"}), ("lists", {"created_at": "2026-01-01T00:00:00"}),
    ("lists", {"hidden_at": "2026-01-01T00:00:00+00:00"}), ("lists", {"hidden_why": "no time"}),
    ("lists", {"owner": "11111111-2222-4333-8444-555555555555"}), ("list_items", {"weight": 1000.5}),
    ("list_items", {"weight": "1"}), ("list_items", {"weight": True}), ("list_items", {"feature": -1}),
    ("list_items", {"feature": 2**53}), ("list_items", {"feature": 1.5}), ("list_items", {"model_id": "a/b"}),
    ("list_items", {"source_id": "nonsense"}), ("list_items", {"note": "x" * 2001}), ("list_items", {"position": -1}),
    ("stars", {"list_id": "9f135d13-b8e9-4dc3-bbf9-75c8c4e0f493", "feature": 1, "model_id": "m", "source_id": "1-a"}),
    ("stars", {"model_id": None, "feature": 1}), ("comments", {"body": "x" * 5001}), ("comments", {"hidden_why": "x"}),
    ("comments", {"deleted_at": None, "body": " "}), ("reports", {"why": ""}),
    ("reports", {"list_id": None, "explanation_id": None}),
    ("suites", {"cases": {}}), ("suites", {"cases": [{"text": 1, "fires": True}]}), ("suites", {"cases": [{}]}),
    ("suites", {"cases": [{"text": "a", "fires": True}] * 201}), ("suites", {"threshold": None}),
    ("suite_runs", {"passed": 7}), ("suite_runs", {"results": []}), ("suite_runs", {"build": "x" * 101}),
    ("saved", {"link": "javascript:alert(1)"}), ("saved", {"link": "/search?a\nb"}), ("saved", {"kind": "steer"}),
    ("saved", {"record": {"a": "x" * 300_000}}), ("usage", {"amount": 0}), ("usage", {"amount": -1.0}),
    ("profiles", {"name": "a b"}), ("profiles", {"name": "x"}), ("profiles", {"about": "x" * 501}),
    ("preferences", {"hide_explicit": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "values"), BAD, ids=str)
def test_rows_that_no_store_takes(tmp_path, good, table, values):
    at, lines = change(good, table, **values)
    refused(tmp_path, lines, "belongs to nobody" if "owner" in values else f"^Line {at + 1}: ")


def test_tables_that_are_not_exchanged(tmp_path, good):
    for table in ("api_keys", "session", "nonsense", None, 5):
        row = {"table": table, "row": {}}
        refused(tmp_path, [*good[:2], orjson.dumps(row) + b"\n", *good[2:]], "^Line 3: there is no table")


def test_every_column_of_every_table_is_exchanged():
    """But the ones that the store computes, and the tables that stay behind."""
    behind = {"api_keys", "steer_run", "vector", "session", "draft", "paces"}
    assert set(METADATA.tables) - set(exchange.ORDER) == behind
    for table in exchange.ORDER:
        assert set(shapes.COLUMNS[table]) == set(METADATA.tables[table].c.keys()) - {"name_key"}


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capfdbinary, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")

    def go(*arguments):
        capfdbinary.readouterr()
        status = cli.main(["community", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return go


def test_the_command_line_on_one_machine(run, tmp_path):
    fill(Local(tmp_path / "a").anna)
    status, out, _ = run("export", "--data", tmp_path / "a")
    assert status == 0 and out == b"".join(another(tmp_path / "a").export())
    file = tmp_path / "file.jsonl"
    status, said, _ = run("export", "--data", tmp_path / "a", "--out", file)
    assert status == 0 and file.read_bytes() == out and b"rows" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "private things are in it"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    status, said, _ = run("import", file, "--data", tmp_path / "b")
    assert status == 0 and b"list items" in said
    status, said, _ = run("import", file, "--data", tmp_path / "b", "--json")
    assert json.loads(said) == {"new": {}, "there": out.count(b"\n") - 2, "left_out": 0}
    assert run("export", "--data", tmp_path / "b")[1] == out
    status, said, _ = run("export", "--data", tmp_path / "b", "--out", file, "--json")
    assert json.loads(said) == {"file": str(file), "rows": out.count(b"\n") - 2}


def test_the_command_line_on_an_empty_workbench(run, tmp_path):
    status, out, _ = run("export", "--data", tmp_path / "none")
    assert status == 0 and out.count(b"\n") == 2 and not (tmp_path / "none").exists()
    (tmp_path / "file").write_bytes(out)
    status, said, _ = run("import", tmp_path / "file", "--data", tmp_path / "other")
    assert status == 0 and said == b"Nothing new.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "{tmp}/absent"], "cannot be read: No such file"),
        (["import", "{tmp}"], "cannot be read: Is a directory"),
        (["export", "--out", "{tmp}/no/such/file"], "cannot be written: No such file"),
        (["export", "--out", "{tmp}"], "cannot be written: Is a directory"),
        (["export", "--person", "nobody"], "nobody called “nobody”"),
        (["export", "--json"], "JSON lines by itself"),
    ],
)
def test_what_the_command_line_refuses(run, tmp_path, arguments, said):
    fill(Local(tmp_path / "data").anna)
    status, out, err = run(*(part.format(tmp=tmp_path) for part in arguments), "--data", tmp_path / "data")
    assert (status, out) == (2, b"") and err.startswith("error: ") and said in err and err.count("\n") == 1


def test_the_command_line_on_supabase(run, stack, tmp_path, monkeypatch):
    world = Shared(stack)
    fill(world.anna)
    monkeypatch.setenv("SUPABASE_URL", stack.url)
    monkeypatch.setenv("SUPABASE_KEY", stack.keys.publishable)
    name, data = world.anna.me.name, ("--data", tmp_path / "none")
    status, _, err = run("export", *data)
    assert status == 2 and "SUPABASE_SECRET_KEY is not set" in err
    monkeypatch.setenv("SUPABASE_SECRET_KEY", stack.keys.secret_key)
    status, out, _ = run("export", "--person", name.upper(), *data)
    assert status == 0 and out == b"".join(master(stack).export(name))
    (tmp_path / "file").write_bytes(out)
    status, said, _ = run("import", tmp_path / "file", *data, "--json")
    assert status == 0 and json.loads(said)["new"] == {}
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_of_another")
    status, _, err = run("export", *data)
    assert status == 2 and "is not a key of the project" in err
    monkeypatch.setenv("SUPABASE_URL", refusing())
    status, _, err = run("export", *data)
    assert status == 2 and "does not answer" in err


def test_where_nothing_is_kept(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_PEOPLE", "none")
    status, _, err = run("export", "--data", tmp_path)
    assert status == 2 and "keeps nothing of people's" in err
    assert issubclass(NotAvailable, Exception) and issubclass(Unreachable, Exception)


def test_a_file_of_before_there_were_explanations(good, tmp_path):
    """Its reports have one column fewer."""
    rows = [orjson.loads(line) for line in good]
    kept = [row for row in rows[1:-1] if not row["table"].startswith(("explanation", "play", "campaign"))]
    kept = [row for row in kept if row["row"].pop("explanation_id", None) is None]
    lines = [rows[0], *kept, {"end": True, "rows": len(kept)}]
    there = another(tmp_path / "into")
    done = there.load(write(tmp_path / "file", [orjson.dumps(line) + b"\n" for line in lines]))
    assert sum(done.new.values()) == len(kept) and done.new["reports"] == 1


def test_nobody_brings_points_along(stack, tmp_path):
    """A person's file may say anything: on a server their answers are judged again."""
    world = Shared(stack)
    feature = a_feature()
    id = world.anna.plays.answer(feature, kind="odd", seed=1, answer={"odd": 1})
    stack.sql("update public.plays set points = 100, agreed = 1 where id = %s", id)
    lines = master(stack).export(world.anna.me.name)
    laptop = another(tmp_path / "laptop")
    laptop.load(write(tmp_path / "file", lines))
    assert Local(tmp_path / "laptop").anna.plays.mine(feature, "odd", 1).points == 100, "one's own machine is one's own"
    stack.sql("delete from public.plays where id = %s", id)
    master(stack).load(tmp_path / "file", world.anna.me.name)
    found = world.anna.plays.mine(feature, "odd", 1)
    assert found.points is None and found.agreed is None
