"""Provide what all commands share: options, settings, and the conversion of errors to messages and exit codes."""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mien.cli.activity import ACTIONS, EXEMPT, recorded
from mien.cli.exit_codes import handle_errors
from mien.config import Settings
from mien.security.audit import COMMAND_LINE, Activity

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Limit = Annotated[int, typer.Option(min=1, help="Show at most this many.")]


class Context(typer.Context):
    """One call of a command."""

    @cached_property
    def settings(self) -> Settings:
        """The environment's settings, with --data-dir and --backend in place. Raises SetupError."""
        return Settings.from_environment(data_dir=self.meta.get("data_dir"), backend=self.meta.get("backend"))

    @cached_property
    def activity(self) -> Activity:
        """What the command does, for the audit log; commands note in it what the application answers."""
        return Activity(COMMAND_LINE, ACTIONS[self.command_name])

    @property
    def command_name(self) -> str:
        """The words of the command, such as `keys create`."""
        parent = self.parent
        is_nested = parent is not None and parent.parent is not None
        return f"{parent.info_name} {self.command.name}" if parent and is_nested else str(self.command.name)


class Command(TyperCommand):
    """A command that also takes --data-dir and --backend, and ends with an exit code when Mien raises an error."""

    context_class = Context

    def __init__(self, *arguments: Any, params: list[Any], **options: Any) -> None:
        super().__init__(*arguments, params=[*params, *_shared_options()], **options)

    def invoke(self, ctx: Any) -> Any:
        with handle_errors(as_json=ctx.params.get("as_json", False)):
            if ctx.command_name in EXEMPT:
                return super().invoke(ctx)
            with recorded(ctx.settings, ctx.activity):
                return super().invoke(ctx)


class Group(TyperGroup):
    """Takes --data-dir and --backend before the name of a command, too; after it, they take precedence."""

    def __init__(self, *arguments: Any, params: list[Any], **options: Any) -> None:
        super().__init__(*arguments, params=[*params, *_shared_options()], **options)


def _keep(context: typer.Context, option: typer.CallbackParam, value: Any) -> None:
    """Store an option in `meta`, which a group and its commands have in common."""
    if value is not None and option.name:
        context.meta[option.name] = value


@cache
def _shared_options() -> list[Any]:
    application = typer.Typer(add_completion=False)
    application.command()(_declare_shared_options)
    return get_command(application).params


def _declare_shared_options(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder with the data; default: MIEN_DATA_DIR.", callback=_keep, expose_value=False
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="embedded or aws; default: MIEN_BACKEND.", callback=_keep, expose_value=False
        ),
    ] = None,
) -> None:
    """Declare the options for Typer, which reads them from a signature."""
