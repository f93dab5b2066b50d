"""Who is asking, and about what: how the jobs begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.community.bounds import identity
from core.community.protocol import Row, Visit
from core.community.records import Person
from core.community.rows import feature_columns
from core.errors import NotAllowed, NotFound, NotSignedIn
from core.records import FeatureKey


def someone(visit: Visit, to: str) -> Person:
    """Who is signed in; raises `NotSignedIn` saying what for."""
    if visit.me is None:
        raise NotSignedIn(f"Sign in to {to}.")
    return visit.me


def moderator(visit: Visit) -> None:
    """Raises `NotAllowed` for whoever is no moderator."""
    if not someone(visit, "moderate").moderates:
        raise NotAllowed("Only a moderator does this.")


def on_what(visit: Visit, on: FeatureKey | str) -> tuple[Visit, Row]:
    """The columns that name a feature, or a list by its id, and the access of somebody who has its address."""
    if isinstance(on, FeatureKey):
        return visit, feature_columns(on)
    found = identity(on, "list")
    return visit.given(found), {"list_id": found}


@contextmanager
def there(on: FeatureKey | str) -> Iterator[None]:
    """A write to a list that is not there, or not for this person, is refused in the same words."""
    try:
        yield
    except (NotAllowed, NotFound) as error:
        if isinstance(on, FeatureKey):
            raise
        raise NotFound("There is no such list here, or it is somebody's private one.") from error
