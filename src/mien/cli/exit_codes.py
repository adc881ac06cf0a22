"""Exit codes, and the one table from the error tree to them.

0   done
1   the answer is no: nobody recognised, not the same person, not found
2   the command cannot be understood
3   some photos were refused; the others are done
4   storage, models or settings do not work
5   too busy just now; the same command may succeed later
130 interrupted; what was reported is kept
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import typer

from mien.cli import output
from mien.domain import errors


class ExitCode(IntEnum):
    DONE = 0
    NO = 1
    USAGE = 2
    REFUSED = 3
    BROKEN = 4
    LATER = 5
    INTERRUPTED = 130


EXIT_CODES: dict[type[errors.MienError], ExitCode] = {
    errors.StorageBusy: ExitCode.LATER,
    errors.Overloaded: ExitCode.LATER,
    errors.InvalidInput: ExitCode.USAGE,
    errors.ImageError: ExitCode.REFUSED,
    errors.NoFace: ExitCode.REFUSED,
    errors.NotFound: ExitCode.NO,
    errors.AlreadyExists: ExitCode.USAGE,
    errors.LimitExceeded: ExitCode.REFUSED,
    errors.ModelError: ExitCode.BROKEN,
    errors.StorageError: ExitCode.BROKEN,
    errors.AccessDenied: ExitCode.BROKEN,
    errors.SetupError: ExitCode.BROKEN,
}
ABOUT_ONE_PHOTO = (errors.ImageError, errors.NoFace, errors.InvalidInput)


def exit_code(error: BaseException) -> ExitCode:
    """That of the nearest ancestor in the table."""
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def code(error: BaseException) -> str:
    """Return the error's name for programs: that of a MienError, or "keyboard_interrupt"."""
    return error.code if isinstance(error, errors.MienError) else "keyboard_interrupt"


def leave(error: BaseException) -> NoReturn:
    """Say what went wrong and end with its exit code."""
    output.note("Interrupted." if isinstance(error, KeyboardInterrupt) else str(error))
    raise typer.Exit(exit_code(error)) from error


@contextmanager
def reported(*, as_json: bool) -> Iterator[None]:
    """Errors that are raised inside become a sentence on standard error and an exit code."""
    try:
        yield
    except (errors.MienError, KeyboardInterrupt) as error:
        if as_json:
            output.emit({"error": {"code": code(error), "message": str(error)}})
        leave(error)
