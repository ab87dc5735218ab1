"""The one exception that host tools raise on purpose."""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class HostError(Exception):
    """An operation failed for a reason the user can act on.

    `message` is the cause, `remedy` what to do about it, both one sentence in plain words;
    `exit_code` is 1 when the operation itself failed and 2 when it could not be started
    (wrong usage, missing program, unreadable input).
    """

    def __init__(self, message: str, *, remedy: str = "", exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class UsageError(HostError):
    """The command cannot be started as it was given."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy, exit_code=EXIT_USAGE)
