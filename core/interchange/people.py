"""Lists, comments and stars as Neuronpedia's JSON, where a star is called a bookmark and a note a description.

Ours, beside its fields: `visibility` in words, `weight`, `replyTo`, `state`, counts and `url`. A comment that was taken
back or hidden keeps its place and has no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.community.records import ApiKey, Comment, FeatureList, Item, ListCard, Person, Star
from core.records import FeatureKey

Json = dict[str, Any]


def feature(key: FeatureKey) -> Json:
    """The three names of a feature; an index is text."""
    return {"modelId": key.model_id, "layer": key.source_id, "index": str(key.index)}


def item(one: Item) -> Json:
    """A feature of a list."""
    return feature(one.feature) | {"description": one.note, "weight": one.weight}


def card(one: ListCard, base: str) -> Json:
    """A list without its features; `base`: the server's address, with a slash at its end."""
    return {
        "id": one.id, "name": one.name, "description": one.about, "defaultTestText": one.test_text,
        "visibility": one.visibility.upper(), "userId": one.owner, "user": {"name": one.owner_name},
        "createdAt": one.made, "updatedAt": one.changed, "featureCount": one.items, "bookmarkCount": one.stars,
        "commentCount": one.comments, "url": f"{base}list?id={one.id}",
    }  # fmt: skip


def whole(one: FeatureList, comments: Sequence[Comment], base: str) -> Json:
    """A list with its features, in their order, and what was said about it."""
    return card(one.card, base) | {
        "neurons": [item(each) for each in one.items],
        "comments": [comment(each) for each in comments],
    }


def comment(one: Comment) -> Json:
    """A comment on a feature or a list."""
    on = feature(one.feature) if one.feature else {"listId": one.list_id}
    return {
        "id": one.id, "text": one.body, "userId": one.owner, "user": {"name": one.owner_name}, "createdAt": one.made,
        "editedAt": one.edited or None, "state": one.state, "replyTo": one.parent, **on,
    }  # fmt: skip


def bookmark(one: Star) -> Json:
    """A star, of a feature or of a list."""
    on = feature(one.feature) if one.feature else {"listId": one.list_id, "list": {"name": one.list_name}}
    return {"createdAt": one.made, **on}


def person(one: Person) -> Json:
    """Somebody."""
    return {"id": one.id, "name": one.name, "bio": one.about, "createdAt": one.made or None}


def api_key(one: ApiKey) -> Json:
    """A key, by what may be told of it."""
    return {
        "id": one.id, "name": one.name, "start": one.start, "createdAt": one.made, "usedAt": one.used or None,
        "revokedAt": one.revoked or None,
    }  # fmt: skip
