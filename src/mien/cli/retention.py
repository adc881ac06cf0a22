"""`mien consent`: until when a person's consent holds. Also expires what is over, for commands without a server."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.naming import user_id_of
from mien.config import open_app, open_audit
from mien.domain.dates import parse_day
from mien.domain.errors import InvalidInput, MienError
from mien.security.audit import Action, expiry_activities
from mien.settings import Backend

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.cli.naming import user_id_of
from mien.settings import Settings


def consent(
    context: Context,
    user: Annotated[str, typer.Argument(metavar="NAME", help="The person.")],
    last_day: Annotated[
        str | None, typer.Argument(metavar="DATE", help="The last day of the consent (in UTC), YYYY-MM-DD.")
    ] = None,
    no_end: Annotated[bool, typer.Option("--no-end", help="The consent has no end.")] = False,
    as_json: Json = False,
) -> None:
    """Set the last day on which a person's consent holds, or show it. After that day the person is erased."""
    if last_day is not None and no_end:
        raise InvalidInput("Give a date or --no-end, not both.")
    until = None if last_day is None else parse_day(last_day)
    if last_day is None and not no_end:
        context.activity.action = Action.READ
    with open_app(context.settings) as app:
        user_id = user_id_of(app, user)
        context.activity.concern(user_id)
        user_id = app.person(user_id).user_id
        if last_day is not None or no_end:
            app.set_consent(user_id, until)
        until = app.consents([user_id]).get(user_id)
    if as_json:
        output.print_json({"user_id": user_id, "consent_until": day(until)})
    else:
        ends = f"ends after {until}; {user} is then erased" if until else "has no end"
        output.show(output.escape(f"The consent of {user} {ends}."))


def day(last_day: date | None) -> str | None:
    """Write a day as JSON has it."""
    return None if last_day is None else last_day.isoformat()


def expire(settings: Settings, app: FaceApp) -> None:
    """Remove what is over, on one machine, where perhaps no server does; say so when it was something."""
    if settings.backend is not Backend.EMBEDDED:
        return
    with suppress(MienError):  # the command itself meets the same error, or does not mind it
        expiry = app.expire()
        if activities := expiry_activities(expiry):
            with open_audit(settings) as audit:
                for activity in activities:
                    audit.record(activity)
        counts = {"recognition": expiry.recognitions, "photo": expiry.photos}
        parts = [output.count(number, noun) for noun, number in counts.items() if number]
        parts += [f"all about {receipt.user_id}" for receipt in expiry.receipts]
        if parts:
            output.note(f"Removed, because the time is over: {', '.join(parts)}.")
