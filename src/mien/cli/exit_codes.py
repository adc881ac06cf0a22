"""Define the exit codes, and which error ends with which.

0   success
1   the answer is no: no match, not found, or the check found something
2   invalid arguments
3   some photos were rejected; the others are done
4   a storage, model or configuration error
5   too busy; the same command may succeed later
130 interrupted; what was reported before is kept
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any, NoReturn

import typer

from mien.cli import output
from mien.domain import errors


class ExitCode(IntEnum):
    SUCCESS = 0
    NO = 1
    USAGE = 2
    REJECTED = 3
    ERROR = 4
    BUSY = 5
    INTERRUPTED = 130


EXIT_CODES: dict[type[errors.MienError], ExitCode] = {
    errors.StorageBusy: ExitCode.BUSY,
    errors.Overloaded: ExitCode.BUSY,
    errors.InvalidInput: ExitCode.USAGE,
    errors.ImageError: ExitCode.REJECTED,
    errors.NoFace: ExitCode.REJECTED,
    errors.NotFound: ExitCode.NO,
    errors.AlreadyExists: ExitCode.USAGE,
    errors.LimitExceeded: ExitCode.REJECTED,
    errors.ModelError: ExitCode.ERROR,
    errors.StorageError: ExitCode.ERROR,
    errors.AccessDenied: ExitCode.ERROR,
    errors.SetupError: ExitCode.ERROR,
}
PHOTO_ERRORS = (errors.ImageError, errors.NoFace, errors.InvalidInput, errors.AlreadyExists)
"""Errors about one photo: a command that works on many photos reports them and goes on."""


_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What Typer raises for wrong arguments: click's error, or that of Typer's own copy of click."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the code of the nearest base class in the table."""
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def error_json(error: BaseException) -> dict[str, str]:
    """Describe an error for programs."""
    code = error.code if isinstance(error, errors.MienError) else "keyboard_interrupt"
    limit = {"limit": error.limit} if isinstance(error, errors.ImageTooLarge) else {}
    return {"code": code, "message": str(error) or "Interrupted.", **limit}


def fail(error: BaseException) -> NoReturn:
    """Print the error's message to standard error and exit with its code."""
    output.note("Interrupted." if isinstance(error, KeyboardInterrupt) else str(error))
    raise typer.Exit(exit_code(error)) from error


@contextmanager
def handle_errors(*, as_json: bool) -> Iterator[None]:
    """Turn an error that is raised inside into a message, with `as_json` also into JSON, and an exit code."""
    try:
        with _missing_libraries():
            yield
    except typer.Abort:
        if as_json:
            output.print_json({"error": {"code": "aborted", "message": "Nothing was done: it was not confirmed."}})
        raise
    except (errors.MienError, KeyboardInterrupt) as error:
        if as_json:
            with suppress(errors.StorageError):  # standard output may be what failed
                output.print_json({"error": error_json(error)})
        fail(error)


@contextmanager
def _missing_libraries() -> Iterator[None]:
    """Say so where a library is missing, as in the small environment of `make key`. Raises SetupError."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"This command needs {error.name}, which is not installed: pip install . in Mien's folder."
        raise errors.SetupError(message) from error


@contextmanager
def usage_errors(*, as_json: bool) -> Iterator[None]:
    """Describe wrong arguments in a sentence, for programs, too, when they asked for JSON."""
    try:
        yield
    except _USAGE_ERROR as error:
        error.message = error.message.removeprefix("Value error, ")  # Pydantic's, by which Typer reads values
        if as_json:
            output.print_json({"error": {"code": errors.InvalidInput.code, "message": error.format_message()}})
        raise
