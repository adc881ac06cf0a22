"""Write an audit entry for each command: its action, and what it did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from mien.config import Settings, open_audit
from mien.domain.errors import InvalidInput, StorageError
from mien.security.audit import Action, Activity

ACTIONS: dict[str, Action] = {
    "enroll": Action.ENROLL,
    "recognize": Action.RECOGNIZE,
    "detect": Action.DETECT,
    "compare": Action.COMPARE,
    "people": Action.READ,
    "faces": Action.READ,
    "rename": Action.CHANGE_PERSON,
    "merge": Action.MERGE,
    "consent": Action.CHANGE_PERSON,
    "reject": Action.REJECT,
    "forget": Action.ERASE,
    "verify-erased": Action.VERIFY_ERASED,
    "inspect": Action.INSPECT,
    "repair": Action.REPAIR,
    "calibrate": Action.CALIBRATE,
    "audit": Action.AUDIT,
    "keys create": Action.CREATE_KEY,
    "keys list": Action.READ,
    "keys revoke": Action.REVOKE_KEY,
}
"""The action of each command. A command may choose a closer one by its options."""

EXEMPT: dict[str, str] = {
    "demo": "it uses a folder of its own, which it deletes",
    "doctor": "it tells nothing of anybody, and has to work when the data folder does not",
    "evaluate": "it reads only the photos that it is given, and stores nothing",
    "serve": "each request that the server answers has its own entry",
}
"""The commands without an entry, with the reason."""

INTERRUPTED = "interrupted"


@contextmanager
def recorded(settings: Settings, activity: Activity) -> Iterator[None]:
    """Write the entry of a command that runs inside, also when it fails.

    One that is refused for its arguments did nothing and has no entry. Raises StorageError.
    """
    try:
        yield
    except BaseException as error:
        cause = error.__cause__ if isinstance(error, typer.Exit) else error
        if cause is None:  # the exit code of an answer, such as 1 for "nobody was recognised"
            _write(settings, activity)
        elif not isinstance(cause, (InvalidInput, typer.BadParameter, typer.Abort)):
            activity.fail(cause)
            if isinstance(cause, KeyboardInterrupt):
                activity.outcome = INTERRUPTED
            with suppress(StorageError):  # the error that came first is the answer
                _write(settings, activity)
        raise
    _write(settings, activity)


def _write(settings: Settings, activity: Activity) -> None:
    with open_audit(settings) as audit:
        audit.record(activity)
