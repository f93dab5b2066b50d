"""Comments on features and lists: said, answered, edited, taken back, reported, hidden.

A comment that is taken back or hidden keeps its place, so that the answers to it do, and loses its text. What a
moderator hides stands in the trail of moderation, from which it can be shown again.
"""

from __future__ import annotations

from core.community import bounds, limits, rows
from core.community.asking import moderator, on_what, someone, there
from core.community.protocol import Row, Visit
from core.community.records import Comment
from core.community.schema import new_id, now
from core.errors import Conflict, NotAllowed, NotFound
from core.records import FeatureKey

MOST = 500
"""Comments of one thing that are shown."""


class CommentJobs:
    """Comments, as one person sees them."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def on(self, what: FeatureKey | str) -> tuple[Comment, ...]:
        """Those on a feature, or on a list by its id: the oldest first, each followed by the answers to it."""
        visit, where = on_what(self._visit, what)
        found = visit.rows("comment_rows", where, order=("created_at", "id"), limit=MOST)
        return tuple(rows.comment(row) for row in rows.threaded(found))

    def by(self, person: str, *, limit: int = 100) -> tuple[Comment, ...]:
        """A person's, the newest first; by the person's id."""
        where: Row = {"owner": person, "deleted_at": None, "hidden_at": None}
        found = self._visit.rows("comment_rows", where, order=("-created_at", "id"), limit=limit)
        return tuple(rows.comment(row) for row in found)

    def post(self, what: FeatureKey | str, body: str, *, parent: str | None = None, id: str | None = None) -> str:
        """Says something; its id. Asked twice with one id, it is said once."""
        me = someone(self._visit, "comment")
        visit, where = on_what(self._visit, what)
        row = {
            "id": bounds.identity(id, "comment") if id else new_id(), "owner": me.id,
            "body": bounds.words(body, "The comment", limits.COMMENT, needed=True),
            "parent": bounds.identity(parent, "comment") if parent else None,
        }  # fmt: skip
        if parent and not visit.rows("comments", {"id": row["parent"]} | where):
            raise NotFound("The comment that this answers is not there.")
        with there(what):
            visit.add("comments", [row | where], twice="keep")
        return str(row["id"])

    def edit(self, id: str, body: str) -> None:
        """Changes what one said; the page says that it was edited."""
        self._own(id)
        body = bounds.words(body, "The comment", limits.COMMENT, needed=True)
        self._visit.change("comments", {"id": bounds.identity(id, "comment")}, {"body": body})

    def delete(self, id: str) -> None:
        """Takes back what one said."""
        self._own(id)
        where = {"id": bounds.identity(id, "comment")}
        self._visit.change("comments", where, {"body": "", "deleted_at": now()})

    def report(
        self, why: str, *, comment: str | None = None, list: str | None = None, explanation: str | None = None
    ) -> None:
        """Asks a moderator to look at a comment (of this list, if it is on one), a list or an explanation; once."""
        me = someone(self._visit, "report something")
        row = {
            "id": new_id(), "owner": me.id, "why": bounds.words(why, "The reason", limits.REASON, needed=True),
            "comment_id": bounds.identity(comment, "comment") if comment else None,
            "list_id": bounds.identity(list, "list") if list and not comment else None,
            "explanation_id": bounds.identity(explanation, "explanation") if explanation else None,
        }  # fmt: skip
        visit = self._visit.given(bounds.identity(list, "list")) if list else self._visit
        try:
            visit.add("reports", [row])
        except Conflict as error:
            raise Conflict("You have reported this already; a moderator will look at it.") from error

    # -- moderators ----------------------------------------------------------------------------------------------------

    def hide(self, id: str, why: str) -> None:
        """Hides somebody's comment, with a reason that stands in its place."""
        moderator(self._visit)
        where = {"id": bounds.identity(id, "comment")}
        why = bounds.words(why, "The reason", limits.REASON, needed=True)
        if not self._visit.change("comments", where, {"hidden_at": now(), "hidden_why": why}):
            raise NotFound("There is no such comment.")

    def show(self, id: str) -> None:
        """Shows it again, as it was; one that is shown stays so."""
        moderator(self._visit)
        where: Row = {"id": bounds.identity(id, "comment")}
        if self._visit.count("comments", where | {"hidden_at": None}):
            return
        if not self._visit.change("comments", where, {"hidden_at": None, "hidden_why": ""}):
            raise NotFound("There is no such comment.")

    def _own(self, id: str) -> Comment:
        me = someone(self._visit, "change a comment")
        found = self._visit.rows("comment_rows", {"id": bounds.identity(id, "comment")})
        if not found or found[0]["deleted_at"] is not None:
            raise NotFound("There is no such comment, or it was taken back.")
        comment = rows.comment(found[0])
        if comment.owner != me.id:
            raise NotAllowed(f"This is {comment.owner_name}'s comment: only they change it.")
        if comment.state == "hidden":
            raise NotAllowed("A moderator hid this comment: it is not changed any more.")
        return comment
