"""Errors that a reader can act on: each message says what was wrong, where, and what would do.

Everything `core` raises on purpose is a `WorkbenchError`; the API turns its `status` into an HTTP status, pages show
the message, the command line prints it and exits with 2.
"""

from __future__ import annotations


class WorkbenchError(Exception):
    """The base; `status` is the HTTP status that says the same."""

    status = 400


class BadInput(WorkbenchError):
    """What was asked for cannot be read or is outside its bounds."""


class NotFound(WorkbenchError):
    """What was asked for is well formed, but is not here."""

    status = 404


class NotAvailable(WorkbenchError):
    """It exists, but lacks what this job needs (weights, a store, memory)."""

    status = 409


class NotSignedIn(WorkbenchError):
    """It needs a person, and nobody is signed in."""

    status = 401


class NotAllowed(WorkbenchError):
    """Who asks may not do it."""

    status = 403


class Conflict(WorkbenchError):
    """It is taken, or is there already."""

    status = 409


class BadConfig(WorkbenchError):
    """A configuration file names something that is not there or does not fit."""


class BadData(WorkbenchError):
    """A file of the data root is damaged or of another format."""

    status = 422


class Busy(WorkbenchError):
    """It could be done, but not now: others are before it, or memory is short."""

    status = 503


class Unreachable(Busy):
    """What keeps people's things does not answer; all else goes on."""
