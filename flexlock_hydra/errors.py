"""Every error that this package raises on purpose.

An error says what happened and where in its message, and what to type next in
its ``hint``. The command line prints both and ends with ``exit_code``.
"""

from __future__ import annotations


class FlexlockError(Exception):
    """The root: the user's or the world's fault, with a way on."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RunNotFoundError(FlexlockError, LookupError):
    """No run, lock or tag answers to what was asked for."""


class LockError(FlexlockError, ValueError):
    """A run.lock that cannot be read: damaged, or of a newer format."""


class CodeError(FlexlockError):
    """Code that cannot be recorded or brought back."""


class DataError(FlexlockError, ValueError):
    """Data that is missing, unreadable or not what was recorded."""


class GitError(FlexlockError):
    """git is missing, too old, or refused a command."""


class GitSlowError(GitError):
    """git did not answer in the time that its caller has."""


class RemoteError(FlexlockError, OSError):
    """A data remote that cannot be used: unknown, unreachable, full, read-only."""


class PushError(FlexlockError):
    """A run that cannot be pushed as it is."""


class TargetError(FlexlockError):
    """A place to write to that is not free or not safe."""


class RerunError(FlexlockError):
    """A run that cannot be run again faithfully."""


class EnvironmentMakerError(FlexlockError):
    """A program that makes environments refused a command; the message is its own."""


class ExtraError(FlexlockError, ImportError):
    """A package that one of the extras installs is missing."""
