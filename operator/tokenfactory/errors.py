"""The few exceptions that cross a room's border. Everything else that goes wrong is a value."""

from __future__ import annotations


class TokenFactoryError(Exception):
    """Base of the errors that the operator raises on purpose."""


class InvalidSpec(TokenFactoryError):
    """A resource that can't be served until somebody edits it.

    `field` is the camelCase path inside the resource (`spec.windowSeconds`), `message` names the fix.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Unavailable(TokenFactoryError):
    """The API server refused or could not be reached; the caller backs off and tries again."""

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class Forbidden(Unavailable):
    """The right to ask this is missing: whoever can do without the answer goes on without it."""


class UnreadableInput(TokenFactoryError):
    """Files given on the command line can't be read as what they should be (exit code 2)."""


def name_fault(error: Exception) -> str:
    """The system's words for what it could not do with a file, else the kind of the error: no content."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or type(error).__name__
