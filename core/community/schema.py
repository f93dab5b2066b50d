"""The tables of the SQLite file: names and columns are those of `supabase/migrations`, and four are a server's own.

Those are `steer_run`, `vector`, `session` and `draft`. Of the others SQLite keeps what one table can say by itself
(keys, what belongs to what, what is one of few words); how long and how many is checked before, by
`core.community.bounds`. Ids and times are text, so that rows look as PostgREST gives them.
"""

from __future__ import annotations

import datetime
import uuid
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

VERSION = 6
"""Kept in the file as `user_version`; where it is another, new columns are added, and views and triggers made anew."""
METADATA = MetaData()
ME = "00000000-0000-4000-8000-000000000001"
"""The id of a local workbench's person."""


def now() -> str:
    """This moment as the tables keep it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def new_id() -> str:
    """An id for something new; whoever asks twice with one makes one thing."""
    return str(uuid.uuid4())


def _id() -> Column[str]:
    return Column("id", String, primary_key=True, default=new_id)


def _owner() -> Column[str]:
    return Column("owner", String, ForeignKey("profiles.id", ondelete="CASCADE"), nullable=False)


def _made() -> Column[str]:
    return Column("created_at", String, nullable=False, default=now)


def _changed() -> Column[str]:
    return Column("updated_at", String, nullable=False, default=now, onupdate=now)


def _feature(*, key: bool = False, needed: bool = True) -> tuple[Column[str], Column[str], Column[int]]:
    def of(name: str, kind: type) -> Column[Any]:
        return Column(name, kind, primary_key=key, nullable=not needed)

    return of("model_id", String), of("source_id", String), of("feature", Integer)


def _text(name: str) -> Column[str]:
    return Column(name, String, nullable=False, default="")


def _list(*, key: bool = False, needed: bool = True) -> Column[str]:
    return Column("list_id", String, ForeignKey("lists.id", ondelete="CASCADE"), primary_key=key, nullable=not needed)


def _one_target() -> CheckConstraint:
    return CheckConstraint("(feature is null) <> (list_id is null)")


def _visibility(default: str) -> tuple[Column[str], CheckConstraint]:
    return (
        Column("visibility", String, nullable=False, default=default),
        CheckConstraint("visibility in ('public', 'unlisted', 'private')"),
    )


RUNS = Table(
    "steer_run", METADATA,
    Column("id", String, primary_key=True), Column("made", String, nullable=False, index=True),
    Column("model_id", String, nullable=False), Column("record", String, nullable=False),
)  # fmt: skip
VECTORS = Table(
    "vector", METADATA,
    *_feature(key=True), Column("label", String, nullable=False), Column("hook", String, nullable=False),
    Column("values", LargeBinary, nullable=False), Column("strength", Float, nullable=False),
    Column("made", String, nullable=False),
)  # fmt: skip
SESSIONS = Table(
    "session", METADATA,
    Column("id", String, primary_key=True), Column("person", String, nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False), Column("made", String, nullable=False),
)  # fmt: skip
DRAFTS = Table(
    "draft",
    METADATA,
    Column("id", String, primary_key=True),
    Column("deed", String, nullable=False),
    Column("made", String, nullable=False),
)

PROFILES = Table(
    "profiles", METADATA,
    _id(), Column("name", String, nullable=False),
    Column("name_key", String, Computed("lower(name)", persisted=True), unique=True), _text("about"),
    _made(), _changed(),
)  # fmt: skip
MODERATORS = Table(
    "moderators", METADATA,
    Column("person", String, ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True), _made(),
)  # fmt: skip
PREFERENCES = Table(
    "preferences", METADATA,
    Column("owner", String, ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True),
    Column("hide_explicit", Boolean), _changed(),
)  # fmt: skip
LISTS = Table(
    "lists", METADATA,
    _id(), _owner(), Column("name", String, nullable=False), _text("about"), *_visibility("public"),
    _text("test_text"), Column("hidden_at", String), _text("hidden_why"), _made(), _changed(),
    Index("lists_owner", "owner", "created_at"),
)  # fmt: skip
ITEMS = Table(
    "list_items", METADATA,
    _list(key=True), *_feature(key=True), _text("note"), Column("weight", Float, nullable=False, default=1.0),
    Column("position", Integer, nullable=False, default=0), _made(),
    Index("list_items_feature", "model_id", "source_id", "feature"),
)  # fmt: skip
STARS = Table(
    "stars", METADATA,
    _id(), _owner(), *_feature(needed=False), _list(needed=False), _made(), _one_target(),
)  # fmt: skip
# SQLite holds two rows with nothing in the same column for different, which two stars of one list are not.
Index(
    "stars_once", STARS.c.owner, func.coalesce(STARS.c.model_id, ""), func.coalesce(STARS.c.source_id, ""),
    func.coalesce(STARS.c.feature, -1), func.coalesce(STARS.c.list_id, ""), unique=True,
)  # fmt: skip
Index("stars_feature", STARS.c.model_id, STARS.c.source_id, STARS.c.feature)
COMMENTS = Table(
    "comments", METADATA,
    _id(), _owner(), *_feature(needed=False), _list(needed=False),
    Column("parent", String, ForeignKey("comments.id", ondelete="CASCADE")), Column("body", String, nullable=False),
    Column("edited_at", String), Column("deleted_at", String), Column("hidden_at", String), _text("hidden_why"),
    _made(), _changed(), _one_target(), Index("comments_feature", "model_id", "source_id", "feature", "created_at"),
    Index("comments_list", "list_id", "created_at"),
)  # fmt: skip
EXPLANATIONS = Table(
    "explanations", METADATA,
    _id(), _owner(), *_feature(), Column("text", String, nullable=False), Column("hidden_at", String),
    _text("hidden_why"), _made(), _changed(),
    Index("explanations_feature", "model_id", "source_id", "feature", "created_at"),
    Index("explanations_changed", "model_id", "source_id", "updated_at"), Index("explanations_newest", "updated_at"),
)  # fmt: skip
EXPLANATION_VOTES = Table(
    "explanation_votes", METADATA,
    _id(), _owner(), *_feature(), Column("explanation", String, nullable=False), Column("hash", String, nullable=False),
    Column("vote", Integer, nullable=False), _made(), _changed(), CheckConstraint("vote in (-1, 1)"),
    UniqueConstraint("owner", "model_id", "source_id", "feature", "explanation"),
    Index("explanation_votes_feature", "model_id", "source_id", "feature"),
)  # fmt: skip
EXPLANATION_MARKS = Table(
    "explanation_marks", METADATA,
    _id(), _owner(), *_feature(), Column("mark", String, nullable=False), _made(),
    CheckConstraint("mark in ('none', 'mess', 'several')"),
    UniqueConstraint("owner", "model_id", "source_id", "feature", "mark"),
    Index("explanation_marks_feature", "model_id", "source_id", "feature"),
)  # fmt: skip
REPORTS = Table(
    "reports", METADATA,
    _id(), _owner(), Column("comment_id", String, ForeignKey("comments.id", ondelete="CASCADE")), _list(needed=False),
    Column("explanation_id", String, ForeignKey("explanations.id", ondelete="CASCADE")),
    Column("why", String, nullable=False), Column("closed_at", String), _made(),
)  # fmt: skip
Index(
    "reports_one_each", REPORTS.c.owner, func.coalesce(REPORTS.c.comment_id, ""), func.coalesce(REPORTS.c.list_id, ""),
    func.coalesce(REPORTS.c.explanation_id, ""), unique=True,
)  # fmt: skip
GONE = ("reports_once",)
"""Indexes of files of before that would be in the way."""
MODERATION = Table(
    "moderation", METADATA,
    _id(), Column("moderator", String, ForeignKey("profiles.id", ondelete="SET NULL")), Column("comment_id", String),
    Column("list_id", String), Column("explanation_id", String), Column("what", String, nullable=False), _text("why"),
    _text("before"), _made(),
)  # fmt: skip
SUITES = Table(
    "suites", METADATA,
    _id(), _owner(), *_feature(), Column("name", String, nullable=False), _text("about"), *_visibility("public"),
    Column("threshold", Float, nullable=False, default=0.0), Column("cases", JSON, nullable=False), _made(), _changed(),
    Index("suites_feature", "model_id", "source_id", "feature"),
)  # fmt: skip
SUITE_RUNS = Table(
    "suite_runs", METADATA,
    _id(), Column("suite_id", String, ForeignKey("suites.id", ondelete="CASCADE"), nullable=False),
    Column("build", String, nullable=False), Column("threshold", Float, nullable=False),
    Column("results", JSON, nullable=False), Column("passed", Integer, nullable=False),
    Column("failed", Integer, nullable=False), _made(), Index("suite_runs_suite", "suite_id", "created_at"),
)  # fmt: skip
SAVED = Table(
    "saved", METADATA,
    _id(), _owner(), Column("kind", String, nullable=False), Column("name", String, nullable=False),
    Column("link", String, nullable=False), *_visibility("private"), Column("record", JSON(none_as_null=True)), _made(),
    CheckConstraint("kind in ('test', 'search', 'steer', 'scan')"),
)  # fmt: skip
API_KEYS = Table(
    "api_keys", METADATA,
    _id(), _owner(), Column("name", String, nullable=False), Column("start", String, nullable=False),
    Column("hash", String, nullable=False, unique=True), Column("used_at", String), Column("revoked_at", String),
    _made(),
)  # fmt: skip
CAMPAIGNS = Table(
    "campaigns", METADATA,
    _id(), _owner(), Column("name", String, nullable=False), _text("about"), Column("sources", JSON, nullable=False),
    _made(), _changed(),
)  # fmt: skip
PLAYS = Table(
    "plays", METADATA,
    _id(), _owner(), *_feature(), Column("kind", String, nullable=False), Column("seed", Integer, nullable=False),
    Column("campaign_id", String, ForeignKey("campaigns.id", ondelete="SET NULL")),
    Column("answer", JSON, nullable=False), _text("words"), Column("points", Integer), Column("agreed", Float),
    _made(), _changed(), CheckConstraint("kind in ('name', 'predict', 'odd', 'compare')"),
    UniqueConstraint("owner", "model_id", "source_id", "feature", "kind", "seed"),
    Index("plays_feature", "model_id", "source_id", "feature"), Index("plays_made", "created_at"),
)  # fmt: skip
USAGE = Table(
    "usage", METADATA,
    _id(), _owner(), Column("kind", String, nullable=False), Column("amount", Float, nullable=False), _made(),
)  # fmt: skip
PACES = Table(
    "paces", METADATA,
    _id(), _owner(), Column("what", String, nullable=False), Column("n", Integer, nullable=False), _made(),
    CheckConstraint("n > 0"), Index("paces_owner", "owner", "what", "created_at"),
)  # fmt: skip
"""What a person added within an hour and no row shows any more: it was deleted, or its words were written anew."""

VIEWS = {
    "list_cards": """
        select l.*, p.name as owner_name,
          (select count(*) from list_items i where i.list_id = l.id) as items,
          (select count(*) from stars s where s.list_id = l.id) as stars,
          (select count(*) from comments c where c.list_id = l.id and c.deleted_at is null and c.hidden_at is null)
            as comments
        from lists l join profiles p on p.id = l.owner""",
    "star_rows": """
        select s.*, p.name as owner_name, l.name as list_name
        from stars s join profiles p on p.id = s.owner left join lists l on l.id = s.list_id""",
    "comment_rows": """
        select c.*, p.name as owner_name, l.name as list_name
        from comments c join profiles p on p.id = c.owner left join lists l on l.id = c.list_id""",
    "suite_cards": """
        select s.*, p.name as owner_name, r.build as last_build, r.passed as last_passed, r.failed as last_failed,
          r.created_at as last_at
        from suites s join profiles p on p.id = s.owner left join suite_runs r on r.id =
          (select x.id from suite_runs x where x.suite_id = s.id order by x.created_at desc limit 1)""",
    "listed_features": """
        select i.model_id, i.source_id, i.feature, i.note, i.created_at, l.id as list_id, l.name as list_name,
          l.owner, l.visibility, p.name as owner_name
        from list_items i join lists l on l.id = i.list_id join profiles p on p.id = l.owner
        where l.hidden_at is null""",
    "happenings": """
        select 'star' as what, s.id, s.owner, p.name as owner_name, s.model_id, s.source_id, s.feature, s.list_id,
          coalesce(l.name, '') as words, s.created_at
        from stars s join profiles p on p.id = s.owner left join lists l on l.id = s.list_id
        where s.list_id is null or (l.visibility = 'public' and l.hidden_at is null)
        union all
        select 'comment', c.id, c.owner, p.name, c.model_id, c.source_id, c.feature, c.list_id, substr(c.body, 1, 200),
          c.created_at
        from comments c join profiles p on p.id = c.owner left join lists l on l.id = c.list_id
        where c.deleted_at is null and c.hidden_at is null
          and (c.list_id is null or (l.visibility = 'public' and l.hidden_at is null))
        union all
        select 'list', l.id, l.owner, p.name, null, null, null, l.id, l.name, l.created_at
        from lists l join profiles p on p.id = l.owner where l.visibility = 'public' and l.hidden_at is null
        union all
        select 'suite', u.id, u.owner, p.name, u.model_id, u.source_id, u.feature, null, u.name, u.created_at
        from suites u join profiles p on p.id = u.owner where u.visibility = 'public'
        union all
        select 'explanation', e.id, e.owner, p.name, e.model_id, e.source_id, e.feature, null, substr(e.text, 1, 200),
          e.created_at
        from explanations e join profiles p on p.id = e.owner where e.hidden_at is null""",
    "explanation_rows": """
        select e.*, p.name as owner_name from explanations e join profiles p on p.id = e.owner""",
    "explanation_vote_counts": """
        select v.model_id, v.source_id, v.feature, v.explanation, v.hash, sum(v.vote > 0) as up,
          sum(v.vote < 0) as down, min(v.created_at) as created_at, max(v.updated_at) as updated_at
        from explanation_votes v group by v.model_id, v.source_id, v.feature, v.explanation, v.hash""",
    "campaign_rows": """
        select c.*, p.name as owner_name, (select count(*) from plays y where y.campaign_id = c.id) as rounds
        from campaigns c join profiles p on p.id = c.owner""",
    "play_rows": "select y.*, p.name as owner_name from plays y join profiles p on p.id = y.owner",
    "play_days": """
        select y.owner, p.name as owner_name, substr(y.created_at, 1, 10) as day, y.campaign_id, count(*) as rounds,
          count(y.points) as judged, count(y.agreed) as measured, coalesce(sum(y.points), 0) as points,
          avg(y.agreed) as agreed, min(y.created_at) as created_at, max(y.created_at) as last_at
        from plays y join profiles p on p.id = y.owner
        group by y.owner, p.name, substr(y.created_at, 1, 10), y.campaign_id""",
    "explanation_mark_counts": """
        select m.model_id, m.source_id, m.feature, m.mark, count(*) as people, max(m.created_at) as created_at
        from explanation_marks m group by m.model_id, m.source_id, m.feature, m.mark""",
}
_NOW = "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')"
_UUID = "-".join(f"hex(randomblob({n}))" for n in (4, 2, 2, 2, 6)).replace("-", " || '-' || ")
TRIGGERS = {
    "comments_edited": f"""
        after update of body on comments
        when new.body <> old.body and old.body <> '' and new.deleted_at is null and new.hidden_at is null
        begin update comments set edited_at = {_NOW} where id = new.id; end""",
    "comments_hidden": f"""
        after update of hidden_at on comments
        when new.hidden_at is not null and (old.hidden_at is null or new.hidden_why <> old.hidden_why)
        begin
          insert into moderation (id, moderator, comment_id, what, why, "before", created_at)
            values (lower({_UUID}), '{ME}', new.id, 'hide', new.hidden_why, old.body, {_NOW});
          update comments set body = '' where id = new.id;
        end""",
    "lists_hidden": f"""
        after update of hidden_at on lists
        when (old.hidden_at is null) <> (new.hidden_at is null) or new.hidden_why <> old.hidden_why
        begin
          insert into moderation (id, moderator, list_id, what, why, "before", created_at)
            values (lower({_UUID}), '{ME}', new.id, iif(new.hidden_at is null, 'show', 'hide'),
              new.hidden_why, old.name, {_NOW});
        end""",
    "comments_shown": f"""
        after update of hidden_at on comments when old.hidden_at is not null and new.hidden_at is null
        begin
          insert into moderation (id, moderator, comment_id, what, why, "before", created_at)
            values (lower({_UUID}), '{ME}', new.id, 'show', '', '', {_NOW});
          update comments set body = coalesce((select m."before" from moderation m where m.comment_id = new.id
            and m.what = 'hide' and m."before" <> '' order by m.created_at desc, m.rowid desc limit 1), '')
            where id = new.id and deleted_at is null;
        end""",
    "explanations_hidden": f"""
        after update of hidden_at on explanations
        when new.hidden_at is not null and (old.hidden_at is null or new.hidden_why <> old.hidden_why)
        begin
          insert into moderation (id, moderator, explanation_id, what, why, "before", created_at)
            values (lower({_UUID}), '{ME}', new.id, 'hide', new.hidden_why, old.text, {_NOW});
          update explanations set text = '' where id = new.id;
        end""",
    "explanations_shown": f"""
        after update of hidden_at on explanations when old.hidden_at is not null and new.hidden_at is null
        begin
          insert into moderation (id, moderator, explanation_id, what, why, "before", created_at)
            values (lower({_UUID}), '{ME}', new.id, 'show', '', '', {_NOW});
          update explanations set text = coalesce((select m."before" from moderation m where m.explanation_id = new.id
            and m.what = 'hide' and m."before" <> '' order by m.created_at desc, m.rowid desc limit 1), '')
            where id = new.id;
        end""",
}
"""What the database's own functions do in Supabase."""


def make(engine: Engine) -> None:
    """Tables and views, where they are not there; another process may be about it too."""
    with engine.begin() as db:
        if db.scalar(text("PRAGMA user_version")) == VERSION:
            return
        for name in GONE:
            db.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
        for table, made, indexes in _written():
            db.exec_driver_sql(made)
            _widen(db, table)
            for index in indexes:
                db.exec_driver_sql(index)
        for name, query in VIEWS.items():
            db.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
            db.exec_driver_sql(f"CREATE VIEW IF NOT EXISTS {name} AS {query}")
        for name, what in TRIGGERS.items():
            db.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
            db.exec_driver_sql(f"CREATE TRIGGER IF NOT EXISTS {name} {what}")
        db.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


@cache
def _written() -> list[tuple[Table, str, list[str]]]:
    """Each table with the words that make it, and its indexes: put together once in a process."""
    dialect = sqlite.dialect()
    return [
        (
            table,
            str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)),
            [str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect)) for index in table.indexes],
        )
        for table in METADATA.sorted_tables
    ]


def _widen(db: Connection, table: Table) -> None:
    """The columns that a table of before lacks; SQLite adds those that may be empty and nothing else."""
    there = {row["name"] for row in db.exec_driver_sql(f"PRAGMA table_xinfo({table.name})").mappings()}
    for column in table.columns:
        if column.name not in there:
            refers = "".join(f" REFERENCES {key.column.table.name}" for key in column.foreign_keys)
            refers += " ON DELETE CASCADE" if refers else ""
            kind = column.type.compile(db.dialect)
            db.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}{refers}"))
