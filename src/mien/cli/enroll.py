"""`mien enroll`: photos of people one knows -> enrolled people. Safe to repeat and to interrupt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import exit_codes, output, parallel, photo_sources
from mien.cli.command import Json
from mien.cli.photo_sources import Entry, roster
from mien.domain.errors import InvalidInput, MienError

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.domain.records import Upload


class Outcome(StrEnum):
    TAKEN = "enrolled"
    KNOWN = "already enrolled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Result:
    photo: Path
    user_id: str | None
    outcome: Outcome
    image_path: str | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def enroll(
    paths: Annotated[list[Path], typer.Argument(help="A folder with one sub-folder per person, or photos.")],
    user: Annotated[str | None, typer.Option(help="The person whom all the photos show.")] = None,
    as_json: Json = False,
) -> None:
    """Enrol people from photos.

    Exit code 0 when all photos are taken, 3 when some are refused. The same command again goes on where it stopped.
    """
    from mien.config import open_app

    entries = roster(paths, user)
    _announce_costs(len(entries))
    results: list[Result] = []
    failure: BaseException | None = None
    with open_app() as app:
        started = datetime.now(UTC)
        try:
            for entry, outcome in parallel.each(entries, lambda entry: _enroll(app, entry), "Enrolling"):
                results.append(_result(entry, outcome, started))
        except (MienError, KeyboardInterrupt) as error:
            failure = error
    results.sort(key=lambda result: (result.photo, result.user_id or ""))
    _report(results, len(entries), failure, as_json=as_json)
    if failure:
        exit_codes.leave(failure)
    if any(result.outcome is Outcome.REFUSED for result in results):
        raise typer.Exit(exit_codes.ExitCode.REFUSED)


def _announce_costs(photos: int) -> None:
    from mien.config import Backend, Settings

    if Settings.from_environment().backend is Backend.AWS:
        from mien.backends.aws import doctor

        forecast = doctor.enrolment(photos)
        output.note(
            f"About {forecast.calls} calls of Rekognition, at most {forecast.dollars:.2f} USD, and "
            f"{forecast.dollars_per_month:.4f} USD a month to keep the faces (prices of {forecast.as_of})."
        )


def _enroll(app: FaceApp, entry: Entry) -> Upload:
    if entry.user is None:
        raise InvalidInput("It lies in no person's folder.")
    return app.enroll(photo_sources.read(entry.photo, app.policy.max_image_bytes), entry.user)


def _result(entry: Entry, outcome: Upload | MienError, started: datetime) -> Result:
    if isinstance(outcome, MienError):
        return Result(entry.photo, entry.user, Outcome.REFUSED, reasons=(str(outcome),))
    accepted = Outcome.TAKEN if outcome.timestamp >= started else Outcome.KNOWN
    return Result(
        entry.photo,
        outcome.user_id,
        Outcome.REFUSED if outcome.reasons else accepted,
        outcome.image_path,
        tuple(reason.message for reason in outcome.reasons),
        tuple(warning.message for warning in outcome.warnings),
    )


def _report(results: Sequence[Result], asked: int, failure: BaseException | None, *, as_json: bool) -> None:
    counts = Counter(result.outcome for result in results)
    if as_json:
        output.emit(
            {
                "enrolled": counts[Outcome.TAKEN],
                "already_enrolled": counts[Outcome.KNOWN],
                "refused": counts[Outcome.REFUSED],
                "not_reached": asked - len(results),
                "photos": results,
                "error": failure and {"code": exit_codes.code(failure), "message": str(failure)},
            }
        )
        return
    _show_people(results)
    _show_remarks(results)
    output.show(
        f"{counts[Outcome.TAKEN]} enrolled, {counts[Outcome.KNOWN]} already enrolled, "
        f"{counts[Outcome.REFUSED]} refused" + (f", {asked - len(results)} not reached" if failure else "") + "."
    )


def _show_people(results: Sequence[Result]) -> None:
    people: dict[str, Counter[Outcome]] = {}
    for result in results:
        if result.user_id is not None:
            people.setdefault(result.user_id, Counter())[result.outcome] += 1
    table = output.table("Person", *(f">{outcome.value.capitalize()}" for outcome in Outcome))
    for name, counts in sorted(people.items()):
        table.add_row(output.text(name), *(str(counts[outcome] or "") for outcome in Outcome))
    if people:
        output.show(table)


def _show_remarks(results: Sequence[Result]) -> None:
    table = output.table("Photo", "Outcome", "Why")
    for result in results:
        if remarks := [*result.reasons, *result.warnings]:
            table.add_row(output.text(str(result.photo)), result.outcome.value, " ".join(remarks))
    if table.row_count:
        output.show(table)
