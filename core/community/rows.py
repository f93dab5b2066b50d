"""Rows of the store as records, and the columns that name a thing."""

from __future__ import annotations

from collections.abc import Sequence

from core.community import limits, records
from core.community.protocol import Row
from core.errors import BadInput
from core.records import FeatureKey


def feature_columns(key: FeatureKey) -> Row:
    """The three columns that name a feature; raises `BadInput` for an index that no store holds."""
    if key.index > limits.INDEX:
        raise BadInput(f"There is no feature {key.index:,}: the largest index is {limits.INDEX:,}.")
    return {"model_id": key.model_id, "source_id": key.source_id, "feature": key.index}


def feature(row: Row) -> FeatureKey | None:
    """The feature that a row is on, if it is on one."""
    if row.get("feature") is None:
        return None
    return FeatureKey(row["model_id"], row["source_id"], int(row["feature"]))


def needed_feature(row: Row) -> FeatureKey:
    """The same where there always is one."""
    return FeatureKey(row["model_id"], row["source_id"], int(row["feature"]))


def person(row: Row, *, moderates: bool = False) -> records.Person:
    """A profile."""
    return records.Person(row["id"], row["name"], row["about"], row["created_at"], moderates)


def card(row: Row) -> records.ListCard:
    """A row of `list_cards`."""
    return records.ListCard(
        id=row["id"], owner=row["owner"], owner_name=row["owner_name"], name=row["name"], about=row["about"],
        visibility=row["visibility"], test_text=row["test_text"], items=row["items"], stars=row["stars"],
        comments=row["comments"], made=row["created_at"], changed=row["updated_at"],
        hidden=row["hidden_at"] is not None, hidden_why=row["hidden_why"],
    )  # fmt: skip


def item(row: Row) -> records.Item:
    """A row of `list_items`."""
    return records.Item(needed_feature(row), row["note"], float(row["weight"]))


def comment(row: Row) -> records.Comment:
    """A row of `comment_rows`."""
    state: records.State = "shown"
    if row["deleted_at"] is not None or row["hidden_at"] is not None:
        state = "deleted" if row["deleted_at"] is not None else "hidden"
    return records.Comment(
        id=row["id"], owner=row["owner"], owner_name=row["owner_name"], body=row["body"], made=row["created_at"],
        edited=row["edited_at"] or "", state=state, why=row["hidden_why"] if state == "hidden" else "",
        parent=row["parent"], feature=feature(row), list_id=row["list_id"], list_name=row["list_name"] or "",
    )  # fmt: skip


def worded(row: Row) -> records.Worded:
    """A row of `explanation_rows`."""
    hidden = row["hidden_at"] is not None
    return records.Worded(
        id=row["id"], owner=row["owner"], owner_name=row["owner_name"], feature=needed_feature(row), text=row["text"],
        made=row["created_at"], changed=row["updated_at"], state="hidden" if hidden else "shown",
        why=row["hidden_why"] if hidden else "",
    )  # fmt: skip


def play(row: Row) -> records.Play:
    """A row of `play_rows`."""
    return records.Play(
        id=row["id"], owner=row["owner"], owner_name=row["owner_name"], feature=needed_feature(row), kind=row["kind"],
        seed=int(row["seed"]), answer=row["answer"], words=row["words"], made=row["created_at"], points=row["points"],
        agreed=row["agreed"], campaign=row["campaign_id"],
    )  # fmt: skip


def campaign(row: Row) -> records.Campaign:
    """A row of `campaign_rows`."""
    return records.Campaign(
        row["id"], row["owner"], row["owner_name"], row["name"], row["about"], tuple(row["sources"]), row["rounds"],
        row["created_at"],
    )  # fmt: skip


def threaded(found: Sequence[Row]) -> list[Row]:
    """Comments, each followed by the answers to it; those whose comment is not here stand by themselves."""
    here = {row["id"] for row in found}
    answers: dict[str | None, list[Row]] = {}
    for row in found:
        answers.setdefault(row["parent"] if row["parent"] in here else None, []).append(row)
    ordered, waiting = [], answers.pop(None, [])[::-1]
    while waiting:
        row = waiting.pop()
        ordered.append(row)
        waiting.extend(answers.pop(row["id"], [])[::-1])
    return ordered


def report(row: Row) -> records.Report:
    """A row of `reports`."""
    closed = row["closed_at"] is not None
    return records.Report(
        row["id"], row["why"], row["created_at"], closed, row["comment_id"], row["list_id"], row["owner"],
        row["explanation_id"],
    )  # fmt: skip


def moderated(row: Row, by: str) -> records.Moderated:
    """A row of `moderation`; `by` is the moderator's name."""
    return records.Moderated(
        row["id"], row["what"], row["why"], row["before"], by, row["created_at"], row["comment_id"], row["list_id"],
        row["explanation_id"],
    )  # fmt: skip


def suite(row: Row) -> records.Suite:
    """A row of `suite_cards`."""
    ran = row.get("last_build")
    last = records.LastRun(ran, row["last_passed"], row["last_failed"], row["last_at"]) if ran else None
    return records.Suite(
        id=row["id"], owner=row["owner"], owner_name=row["owner_name"], feature=needed_feature(row), name=row["name"],
        about=row["about"], visibility=row["visibility"], threshold=float(row["threshold"]),
        cases=tuple(records.Case(one["text"], one["fires"]) for one in row["cases"]), made=row["created_at"],
        changed=row["updated_at"], last=last,
    )  # fmt: skip


def suite_run(row: Row) -> records.SuiteRun:
    """A row of `suite_runs`."""
    results = tuple(
        records.CaseResult(records.Case(one["text"], one["fires"]), one["value"], one["passed"], one.get("why", ""))
        for one in row["results"]
    )
    return records.SuiteRun(row["suite_id"], row["build"], float(row["threshold"]), results, row["created_at"])


def saved(row: Row) -> records.Saved:
    """A row of `saved`."""
    return records.Saved(
        row["id"], row["owner"], row["kind"], row["name"], row["link"], row["visibility"], row["created_at"]
    )


def api_key(row: Row) -> records.ApiKey:
    """A row of `api_keys`."""
    return records.ApiKey(
        row["id"], row["name"], row["start"], row["created_at"], row["used_at"] or "", row["revoked_at"] or ""
    )


def happening(row: Row) -> records.Happening:
    """A row of `happenings`."""
    return records.Happening(
        row["what"], row["id"], row["owner_name"], row["created_at"], row["words"] or "", feature(row), row["list_id"]
    )
