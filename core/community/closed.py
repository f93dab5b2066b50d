"""Where nothing of people's can be had: switched off for good, or out of reach for now.

`Off` is the community of nobody, for a demo that strangers share: there is nothing to read, and writing is refused.
`Away` is the access of somebody whose sign-in cannot be read, since Supabase does not answer: every job says so. They
are not nobody: a page that took them for nobody would ask them to sign in, where that is what does not work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NoReturn

from core.community.protocol import Row, Tokens, Twice, Way, Where
from core.community.records import Person
from core.errors import NotAvailable, Unreachable, WorkbenchError

REFUSED = "This server keeps nothing of people's: stars, lists and comments are switched off here."


class Away:
    """Raises `Unreachable` with `why` for everything."""

    error: type[WorkbenchError] = Unreachable

    def __init__(self, why: str) -> None:
        self._why = why

    @property
    def me(self) -> Person | None:
        """Cannot be said."""
        self._refuse()

    def given(self, link: str) -> Away:
        """See `Visit`."""
        return self

    def rows(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """Refuses."""
        self._refuse()

    def count(self, table: str, where: Where | None = None) -> int:
        """Refuses."""
        self._refuse()

    def add(self, table: str, rows: Sequence[Row], *, twice: Twice = "refuse", key: Sequence[str] = ("id",)) -> int:
        """Refuses."""
        self._refuse()

    def change(self, table: str, where: Where, values: Row) -> int:
        """Refuses."""
        self._refuse()

    def remove(self, table: str, where: Where) -> int:
        """Refuses."""
        self._refuse()

    def new_list(self, row: Row, items: Sequence[Row]) -> None:
        """Refuses."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise self.error(self._why)


class OffVisit(Away):
    """Nobody's access: reads nothing, writes nothing."""

    error = NotAvailable

    def __init__(self) -> None:
        super().__init__(REFUSED)

    @property
    def me(self) -> None:
        """Nobody."""
        return

    def rows(
        self,
        table: str,
        where: Where | None = None,
        *,
        order: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """None."""
        return []

    def count(self, table: str, where: Where | None = None) -> int:
        """None."""
        return 0


class Off:
    """The community of nobody."""

    kind: Literal["none"] = "none"
    ways: tuple[Way, ...] = ()

    def visit(self, tokens: Tokens | None = None) -> OffVisit:
        """Nobody's access."""
        return OffVisit()
