"""Open what the functions need that no client calls: the application, and the audit log of what they do."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mien.config import open_app
from mien.lambdas.telemetry import MODEL
from mien.security.audit import WORKER, Action, Activity, LogLines
from mien.security.signing import Signer
from mien.settings import Settings

if TYPE_CHECKING:
    from mien.app.app import FaceApp


@cache
def application() -> FaceApp:
    """Open the application of the stack."""
    return open_app()


@cache
def audit_log() -> LogLines:
    """Open the audit log. Raises SetupError without the stack's key, so that nobody gets another pseudonym."""
    from mien.backends.aws.secret_keys import signing_key

    return LogLines(Signer(signing_key(Settings.from_environment().keys_secret)), MODEL)


def record(action: Action, answer: object) -> None:
    """Write an entry of the audit log for what an answer tells."""
    activity = Activity(WORKER, action)
    activity.note(answer)
    audit_log().record(activity)
