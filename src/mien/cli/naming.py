"""`mien rename` and `mien merge`: who a person is called, and which two are one. Also finds whom a command is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Context, Json
from mien.config import open_app
from mien.domain.errors import InvalidInput, UserExists, UserNotFound
from mien.domain.faces import iterate_pages
from mien.security.audit import Action

if TYPE_CHECKING:
    from mien.app.app import FaceApp

MAX_SUGGESTIONS = 3

PersonArgument = Annotated[str, typer.Argument(metavar="PERSON", help="A person, by user id or by exact name.")]


def user_id_of(app: FaceApp, text: str) -> str:
    """Return the user id of a person who is given by id or by exact name; the text itself when there is nobody."""
    with suppress(UserNotFound):
        return app.find_person(text).user_id
    return text


def known_id_of(app: FaceApp, text: str) -> str:
    """Return the user id of somebody who is enrolled. Raises UserNotFound, with names that look similar."""
    try:
        return app.find_person(text).user_id
    except UserNotFound:
        raise not_enrolled(app, text) from None


def not_enrolled(app: FaceApp, text: str) -> UserNotFound:
    """Say that nobody has an id or name, and who has a similar one."""
    return UserNotFound(f"Nobody is enrolled as {text}.{_hint(app, text)}")


@contextmanager
def suggesting(app: FaceApp, name: str) -> Iterator[None]:
    """Say whose name looks like a new one that is refused inside: whoever works here may see all who are enrolled."""
    try:
        yield
    except UserExists as error:
        raise UserExists(f"{error}{_hint(app, name)}") from error


def _hint(app: FaceApp, text: str) -> str:
    names = {person.name.casefold(): person.name for person in iterate_pages(lambda token: app.people(1000, token))}
    similar = [names[each] for each in get_close_matches(text.casefold(), names, MAX_SUGGESTIONS)]
    return f" Did you mean {' or '.join(similar)}?" if similar else ""


def rename(
    context: Context,
    person: PersonArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    as_json: Json = False,
) -> None:
    """Give a person another name. It shows in stored results too; no photo is moved."""
    with open_app(context.settings) as app:
        user_id = known_id_of(app, person)
        context.activity.concern(user_id)
        with suggesting(app, name):
            renamed = app.rename(user_id, name)
    if as_json:
        output.print_json(renamed)
    else:
        output.show(output.escape(f"{person} is now called {renamed.name}."))


def merge(
    context: Context,
    person: PersonArgument,
    into: Annotated[
        str | None, typer.Argument(metavar="INTO", help="Who that is, too, by user id or by exact name.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Undo the merge of this user id instead.")] = False,
    as_json: Json = False,
) -> None:
    """Merge a person into another, because both are the same. `mien merge --undo ID` gives each their own back."""
    if (into is None) is not undo:
        raise InvalidInput("Name two people, or one user id with --undo.")
    with open_app(context.settings) as app:
        if into is None:
            context.activity.action = Action.UNMERGE
            context.activity.concern(person)
            merged = app.unmerge(person)
            sentence = f"{merged.name} is a person of their own again."
        else:
            user_id = known_id_of(app, person)
            target = known_id_of(app, into)
            context.activity.concern(user_id)
            context.activity.concern(target)
            merged = app.merge(user_id, target)
            sentence = f"{person} is {merged.name} now. To undo it: mien merge --undo {user_id}"
    output.print_json(merged) if as_json else output.show(output.escape(sentence))
