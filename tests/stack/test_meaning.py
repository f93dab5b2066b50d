"""People's explanations by meaning inside the database: what pgvector finds is what the workbench finds.

PostgreSQL with pgvector is PyPI's `pgserver`; Debian's has none.
"""

from __future__ import annotations

import re
import subprocess
import uuid
from pathlib import Path

import httpx
import numpy as np
import psycopg
import pytest

from core.errors import NotAvailable
from core.explain.meaning import seeker as seekers
from core.explain.meaning.ranking import Wanted
from core.explain.meaning.seeker import Seeker
from core.explain.meaning.shared import push
from core.settings import Settings
from core.workbench import Workbench
from tests.core.explain.meaning.worlds import NEURONS, SAE, Counting, Said
from tests.stack import stack as stacks

OPTIONAL = stacks.ROOT / "supabase/optional/explanations_by_meaning.sql"
WORDS = "red green blue war peace sea ships code python music month march king queen".split()


class WithVectors(stacks.Stack):
    """The same without extensions that pgserver lacks and no migration uses; with pgvector and what is optional."""

    def _migrate(self):
        bootstrap = re.sub(r"create extension .*;", "", (stacks.HERE / "bootstrap.sql").read_text())
        with psycopg.connect(self.dsn, autocommit=True) as db:
            db.execute(bootstrap)
            db.execute("create extension vector with schema extensions")  # hosted, the role of migrations may
        files = [*sorted((stacks.ROOT / "supabase/migrations").glob("*.sql")), OPTIONAL]
        with psycopg.connect(self.migrate_dsn, autocommit=True) as db:
            for file in files:
                with db.transaction():
                    db.execute(file.read_text())


@pytest.fixture(scope="module")
def stack():
    if why := stacks.missing():
        pytest.skip(why)
    pgserver = pytest.importorskip("pgserver", reason="pgserver, which has pgvector, is not installed")
    folder = Path(pgserver.__file__).parent / "pginstall" / "bin"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks, "pg_bin", lambda: folder)
        made = WithVectors()
        try:
            made.start()
        except subprocess.CalledProcessError as error:  # such as a folder that only root may enter
            pytest.skip(f"pgserver's PostgreSQL does not start here: {error}")
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def told(stack, tiny_root):
    """(what people said, as a provider; their settings): a hundred explanations, many of them alike."""
    owner = str(uuid.uuid4())
    stack.sql("insert into auth.users (id, email) values (%s, %s)", owner, f"{owner[:8]}@example.invalid")
    stack.sql(
        "insert into public.profiles (id, name) values (%s, %s) on conflict (id) do nothing", owner, f"p{owner[:8]}"
    )
    said, draw = Said(), np.random.default_rng(0)
    bench = Workbench(Settings(data=tiny_root, demo=None))
    living = {key: bench.living(key) for key in (SAE, NEURONS)}
    for n in range(100):
        key = NEURONS if n % 3 == 0 else SAE
        index = living[key][n % 20].index
        text = " ".join(draw.choice(WORDS, 1 + n % 3))
        (row,) = stack.sql(
            "insert into public.explanations (owner, model_id, source_id, feature, text) values (%s, %s, %s, %s, %s) "
            "returning id::text", owner, key.model_id, key.source_id, index, text,
        )  # fmt: skip
        said.say(index, text, key, id=row[0], origin="person", method="person", author=owner)
    settings = Settings(SUPABASE_URL=stack.url, SUPABASE_SECRET_KEY=stack.keys.secret_key, data=tiny_root, demo=None)
    return said, settings


def ask(stack, vector, **more):
    body = {"query": str(vector.tolist()), "made_by": "counting"} | more
    headers = {"apikey": stack.keys.publishable}
    answer = httpx.post(f"{stack.url}/rest/v1/rpc/find_explanations", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_database_and_the_workbench_find_the_same(stack, told, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr(seekers, "FRESH", 0.0)
    said, settings = told
    count = Counting()
    assert push(settings, count) == (100, 100)
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    seeker = Seeker(bench, lambda: (said,), made=Counting())
    for query in ("red ships", "python", "the king of spain"):
        for keys, more in (((SAE, NEURONS), {}), ((SAE,), {"model": "tiny", "sources": ["1-res"]})):
            for offset in (0, 30):
                wanted = Wanted(query=query, rank="meaning", top=30, offset=offset)
                ours = seeker.find(list(keys), wanted, patience=60.0).hits
                theirs = ask(stack, count.vector(query), most=30, skip=offset, **more)
                assert [hit.id for hit in ours] == [row["id"] for row in theirs]
                assert [(hit.key.source_id, hit.key.index, hit.text) for hit in ours] == [
                    (row["source_id"], row["feature"], row["text"]) for row in theirs
                ]
                for hit, row in zip(ours, theirs, strict=True):
                    assert hit.similarity == pytest.approx(row["similarity"], abs=1e-5)


def test_only_what_changed_is_embedded_again_and_a_changed_text_is_not_found_by_its_old_meaning(stack, told):
    said, settings = told
    push(settings, Counting())
    first = said.its[SAE][0]
    stack.sql("update public.explanations set text = 'something new' where id = %s", first.id)
    try:
        found = ask(stack, Counting().vector(first.text), most=100)
        assert first.id not in {row["id"] for row in found} and len(found) == 99
        count = Counting()
        assert push(settings, count) == (100, 1) and count.asked == ["something new"]
        assert ask(stack, count.vector("something new"))[0]["id"] == first.id
        other = Counting("another", dimensions=8)
        assert push(settings, other) == (100, 100)
        assert len(ask(stack, other.vector("red"), made_by="another", most=100)) == 100
        assert len(ask(stack, count.vector("red"), most=100)) == 100
    finally:
        stack.sql("update public.explanations set text = %s where id = %s", first.text, first.id)


def test_what_was_hidden_is_not_found(stack, told):
    said, settings = told
    push(settings, Counting())
    first = said.its[SAE][1]
    stack.sql(
        "update public.explanations set hidden_at = now(), hidden_why = 'spam', text = '' where id = %s", first.id
    )
    try:
        assert first.id not in {row["id"] for row in ask(stack, Counting().vector(first.text), most=100)}
    finally:
        stack.sql(
            "update public.explanations set hidden_at = null, hidden_why = '', text = %s where id = %s",
            first.text, first.id,
        )  # fmt: skip


def test_nobody_but_the_server_writes_vectors(stack, told):
    headers = {"apikey": stack.keys.publishable}
    row = {"explanation": told[0].its[SAE][2].id, "embedder": "x", "hash": "0" * 64, "embedding": "[1,2]"}
    answer = httpx.post(f"{stack.url}/rest/v1/explanation_vectors", json=row, headers=headers, timeout=60)
    assert answer.status_code in (401, 403)


def test_without_a_project_or_the_table_it_says_what_to_do(told):
    with pytest.raises(NotAvailable, match="SUPABASE_SECRET_KEY"):
        push(Settings(), Counting())
