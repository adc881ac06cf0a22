"""`mien keys`: make, list and revoke API keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from mien.cli import output
from mien.cli.command import Json, verb
from mien.config import Backend, Settings
from mien.domain.errors import SetupError
from mien.security.api_keys import KeyFile, Scope

keys = typer.Typer(
    help="Make, list and revoke API keys (in MIEN_API_KEYS_FILE; on AWS in MIEN_KEYS_SECRET).", no_args_is_help=True
)


@keys.command()
@verb
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as a device's name.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; everything when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once and kept as a hash."""
    with _file() as file:
        key = file.create(name, scope or list(Scope))
    if as_json:
        output.emit({"key": key})
    else:
        typer.echo(key)
    output.note("Keep it safe: it cannot be shown again.")


@keys.command(name="list")
@verb
def show(as_json: Json = False) -> None:
    """List the keys by id, name and scopes."""
    with _file() as file:
        found = file.list()
    if as_json:
        output.emit({"keys": [{"id": key.key_id, "name": key.name, "scopes": sorted(key.scopes)} for key in found]})
        return
    table = output.table("Key", "Name", "May")
    for key in found:
        table.add_row(key.key_id, output.text(key.name), ", ".join(sorted(key.scopes)))
    output.show(table if found else "There are no keys.")


@keys.command()
@verb
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id, as `mien keys list` shows it.")], as_json: Json = False
) -> None:
    """Revoke a key; a running server refuses it at once, a stack on AWS within a minute."""
    with _file() as file:
        file.revoke(key_id)
    if as_json:
        output.emit({"revoked": key_id})
    output.note(f"The key {key_id} is revoked.")


@contextmanager
def _file() -> Iterator[KeyFile]:
    settings = Settings.from_environment()
    if settings.backend is not Backend.AWS:
        yield KeyFile(settings.api_keys_file or settings.default_keys_file)
        return
    if settings.keys_secret is None:
        raise SetupError("Set MIEN_KEYS_SECRET to the stack's output ApiKeysSecret.")
    from mien.backends.aws.api_keys import edited

    with edited(settings.keys_secret) as file:
        yield file
