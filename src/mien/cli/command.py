"""Provide what all commands share: options, settings, the audit entry, and errors as messages and exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mien.cli import output
from mien.cli.data_folder import in_use
from mien.cli.exit_codes import handle_errors, usage_errors
from mien.config import check_writable, open_audit
from mien.domain.errors import InvalidInput, StorageError, StorageReadOnly
from mien.domain.groups import NO_GROUPS
from mien.security.audit import COMMAND_LINE, Action, Activity
from mien.settings import Backend, Settings

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
    "backup": Action.BACK_UP,
    "photos": Action.READ,
    "move": Action.MOVE,
    "history": Action.READ,
    "discover": Action.DISCOVER,
    "sort": Action.RECOGNIZE,
    "groups list": Action.READ,
    "groups faces": Action.READ,
    "groups name": Action.NAME_GROUP,
    "groups unname": Action.NAME_GROUP,
    "groups skip": Action.CHANGE_GROUP,
    "groups split": Action.CHANGE_GROUP,
    "groups merge": Action.CHANGE_GROUP,
    "groups erase": Action.DELETE,
    "keys create": Action.CREATE_KEY,
    "keys list": Action.READ,
    "keys revoke": Action.REVOKE_KEY,
}
"""The action of each command. A command may choose a closer one by its options."""

EXEMPT: dict[str, str] = {
    "demo": "it uses a folder of its own, which it deletes",
    "config": "it tells nothing of anybody",
    "doctor": "it tells nothing of anybody, and has to work when the data folder does not",
    "evaluate": "it reads only the photos that it is given, and stores nothing",
    "restore": "it writes its entry itself, into the folder that it makes",
    "reset": "it deletes the audit log, too",
    "smoke": "it names only a person of its own, who is gone at its end",
    "serve": "each request that the server answers has its own entry",
}
"""The commands without an entry, with the reason."""

WRITES_ELSEWHERE = {Action.CREATE_KEY, Action.REVOKE_KEY}
"""What a read-only data folder does not stop by itself, and what must not be done without an entry."""

NEEDS_DATA = frozenset(
    {
        *("people", "faces", "photos", "history", "rename", "merge", "move", "consent", "reject", "forget"),
        *("verify-erased", "inspect", "repair", "audit", "calibrate", "backup", "keys list", "keys revoke"),
        *("groups list", "groups faces", "groups name", "groups unname", "groups skip", "groups split"),
        *("groups merge", "groups erase"),
    }
)
"""The commands that make no sense without data: for them, a folder of --data-dir that is missing is a mistyped one."""

WITHOUT_DATA = frozenset({"demo", "config", "evaluate", "restore", "reset"})
"""The commands that use no data folder, or one that nobody else may use meanwhile."""

ALIASES = {"enrol": "enroll", "recognise": "recognize"}
"""British spellings."""

VALUES = {"int": "NUMBER", "list[int]": "NUMBER", "str": "TEXT", "Path": "FILE", "datetime": "DATE"}
"""What help calls a value, by its type."""

INTERRUPTED = "interrupted"
NOT_RECORDED = "The data folder is read-only, so the audit log does not record this command."


@contextmanager
def recorded(settings: Settings, activity: Activity) -> Iterator[None]:
    """Write the entry of a command that runs inside, also when it fails.

    One that is refused for its arguments did nothing and has no entry. In a read-only data folder, where what is done
    can only be reading, a warning takes the place of the entry. Raises StorageError.
    """
    if activity.action in WRITES_ELSEWHERE:
        check_writable(settings)
    try:
        yield
    except BaseException as error:
        cause = error.__cause__ if isinstance(error, typer.Exit) else error
        if cause is None:  # the exit code of an answer, such as 1 for "nobody was recognised"
            _write(settings, activity)
        elif not isinstance(cause, (InvalidInput, StorageReadOnly, typer.BadParameter, typer.Abort)):
            activity.fail(cause)
            if isinstance(cause, KeyboardInterrupt):
                activity.outcome = INTERRUPTED
            with suppress(StorageError):  # the error that came first is the answer
                _write(settings, activity)
        raise
    _write(settings, activity)


def _write(settings: Settings, activity: Activity) -> None:
    try:
        with open_audit(settings) as audit:
            audit.record(activity)
    except StorageReadOnly:
        output.note(NOT_RECORDED)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Limit = Annotated[int, typer.Option(min=1, help="Show at most this many.")]


class Context(typer.Context):
    """One call of a command."""

    @cached_property
    def settings(self) -> Settings:
        """The environment's settings, with the shared options in place. Raises SetupError and StorageError."""
        options = {name: self.meta.get(name) for name in ("data_dir", "backend", "stack")}
        return Settings.from_environment(**options)

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
    """A command that also takes the shared options, and ends with an exit code when Mien raises an error."""

    context_class = Context

    def __init__(self, *arguments: Any, params: list[Any], **options: Any) -> None:
        super().__init__(*arguments, params=[*params, *_shared_options()], **options)

    def get_params(self, ctx: Any) -> list[Any]:
        return list(map(_described, super().get_params(ctx)))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with usage_errors(as_json="--json" in args):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with handle_errors(as_json=ctx.params.get("as_json", False)):
            _check_data_dir(ctx)
            _check_groups(ctx)
            with _data_folder_in_use(ctx):
                if ctx.command_name in EXEMPT:
                    return super().invoke(ctx)
                with recorded(ctx.settings, ctx.activity):
                    return super().invoke(ctx)


class Group(TyperGroup):
    """Takes the shared options before the name of a command, too; after it, they take precedence.

    Commands may also be called by their British names.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with usage_errors(as_json="--json" in args):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        with usage_errors(as_json="--json" in args):
            return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def __init__(self, *arguments: Any, params: list[Any], **options: Any) -> None:
        super().__init__(*arguments, params=[*params, *_shared_options()], **options)

    def get_params(self, ctx: Any) -> list[Any]:
        return list(map(_described, super().get_params(ctx)))


def _described(param: Any) -> Any:
    """Let help show a word for the value where one is expected, and for flags none, instead of Python's types."""
    if param.param_type_name == "argument":
        param.metavar = param.metavar or str(param.name).upper()
        param.display_type_rich = lambda ctx: ""
    elif param.is_flag:
        param.metavar = ""
    elif param.metavar is None:
        param.metavar = VALUES.get(param.bare_type(), str(param.name).upper())
    return param


def _check_data_dir(context: Context) -> None:
    """Raise InvalidInput when a command needs data, and the folder that was named for them does not exist."""
    folder = context.meta.get("data_dir")
    if folder is not None and context.command_name in NEEDS_DATA and not folder.exists():
        raise InvalidInput(f"There is no data folder {folder}; `mien enroll` and `mien serve` make one.")


def _check_groups(context: Context) -> None:
    """Refuse a command about groups on AWS before anything is asked of it. Raises InvalidInput."""
    is_about_groups = context.command_name == "discover" or context.command_name.startswith("groups ")
    if is_about_groups and context.settings.backend is not Backend.EMBEDDED:
        raise InvalidInput(NO_GROUPS)


@contextmanager
def _data_folder_in_use(context: Context) -> Iterator[None]:
    """Keep `mien reset` out while a command may use the data folder. Raises StorageBusy."""
    if context.command_name in WITHOUT_DATA or context.settings.backend is not Backend.EMBEDDED:
        yield
        return
    with in_use(context.settings.data_dir):
        yield


def _check_backend(context: typer.Context, option: typer.CallbackParam, value: str | None) -> None:
    if value is not None and value not in list(Backend):
        raise typer.BadParameter(f"choose {' or '.join(Backend)}.")
    _keep(context, option, value)


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
            metavar="NAME", help="embedded or aws; default: MIEN_BACKEND.", callback=_check_backend, expose_value=False
        ),
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Stack on AWS to work with, such as mien-dev; default: MIEN_STACK.",
            callback=_keep,
            expose_value=False,
        ),
    ] = None,
) -> None:
    """Declare the options for Typer, which reads them from a signature."""
