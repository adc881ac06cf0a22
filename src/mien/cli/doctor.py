"""What `mien doctor` looks at. Each check tells what it found, or raises the error that it met.

`mien doctor`: does everything work here, is a forgotten person really gone, is what was half done finished?
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli import output
from mien.cli.command import Json
from mien.cli.exit_codes import ExitCode
from mien.config import Backend, Settings
from mien.domain.errors import MienError, SetupError, StorageDamaged, StorageError
from mien.domain.image_types import FACELESS_PNG

if TYPE_CHECKING:
    from mien.engine import FaceEngine


LIBRARIES = ("openvino", "llvmlite", "numpy", "opencv-python-headless", "pillow", "simplejpeg", "fastapi")
LEAST_FREE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    works: bool
    detail: str


def run(settings: Settings) -> Iterator[Finding]:
    """Every check that applies to the backend, in the order in which things depend on each other."""
    checks: list[tuple[str, Callable[[Settings], str]]] = [("system", _system), ("libraries", _libraries)]
    if settings.backend is Backend.EMBEDDED:
        checks += [("models", _models), ("recognition", _recognition), ("data folder", _data_folder)]
        checks += [("database", _database), ("photos", _photos)]
    checks.append(("application", _application))
    for name, check in checks:
        try:
            yield Finding(name, works=True, detail=check(settings))
        except MienError as error:
            yield Finding(name, works=False, detail=str(error))
    if settings.backend is Backend.AWS:
        yield from _stack(settings)


def _stack(settings: Settings) -> Iterator[Finding]:
    """Every right that the command line needs, and the settings of the stack."""
    from mien.backends.aws.doctor import examine

    for found in examine(settings):
        yield Finding(found.subject, works=not found.advice, detail=found.advice or "allowed")


def _system(_: Settings) -> str:
    return f"mien {version('mien')}, Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores"


def _libraries(_: Settings) -> str:
    return ", ".join(f"{name} {version(name)}" for name in LIBRARIES)


def _models(settings: Settings) -> str:
    from mien.engine import model_files

    found = [model_files.load(file, settings.models_dir) for file in (model_files.DETECTOR, model_files.EMBEDDER)]
    return ", ".join(f"SHA-256 {model.sha256[:12]}…" for model in found)


def _recognition(settings: Settings) -> str:
    """A real inference, on a picture without a face."""
    engine = _engine(settings)
    if engine.read(FACELESS_PNG):
        raise SetupError("The detector sees a face in a grey image: the models do not work on this machine.")
    return engine.model_version


def _engine(settings: Settings) -> FaceEngine:
    from mien.config import open_engine

    return open_engine(settings)


def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(f"{folder} cannot be written to: {error.strerror}.") from error
    if free < LEAST_FREE:
        raise StorageError(f"{folder} has only {free / 1e6:.0f} MB of free space.")
    return f"{folder}, {free / 1e9:.1f} GB free"


def _database(settings: Settings) -> str:
    file = settings.data_dir / "mien.db"
    if not file.exists():
        return "not there yet"
    return f"{file.stat().st_size / 1e6:.1f} MB, sound" if _is_sound(file) else "in use"


def _photos(settings: Settings) -> str:
    """Is the folder of the photos the one that they were stored in?"""
    from mien.config import open_embedded

    machine = open_embedded(settings)
    with machine.app:
        gone = len(machine.worker(threads=1).deleted_by_hand())
    if gone:
        raise StorageError(f"{gone} photos were deleted by hand; `mien doctor --reconcile` removes their faces, too.")
    return str(settings.data_dir / "bucket")


def _is_sound(file: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            answers = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError as error:
        raise StorageDamaged(f"{file} is not a sound database; restore it from a backup.") from error
    if answers != ["ok"]:
        raise StorageDamaged(f"{file} is damaged; restore it from a backup.")
    return True


def _application(settings: Settings) -> str:
    from mien.config import open_app

    with open_app(settings) as app:
        people = app.people(limit=1000)
    more = " or more" if people.next_token else ""
    return f"{settings.backend}: {len(people.items)}{more} people in collection {settings.collection}"


def doctor(
    verify_erased: Annotated[
        str | None, typer.Option(help="Look into every store for traces of this person instead; 1 when there are any.")
    ] = None,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="Look over who is enrolled instead; 1 when something looks wrong.")
    ] = False,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Finish what a crash left half done: erasures, photos, metadata.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check models, storage and settings.

    Exit code 0 when all works, 4 when something does not.
    """
    if verify_erased is not None:
        _verify_erased(verify_erased, as_json=as_json)
    elif gallery:
        _look_over(as_json=as_json)
    elif reconcile:
        _reconcile(as_json=as_json)
    else:
        _check(as_json=as_json)


def _check(*, as_json: bool) -> None:
    # moved
    from mien.config import Settings

    findings = list(run(Settings.from_environment()))
    works = all(finding.works for finding in findings)
    if as_json:
        output.emit({"works": works, "checks": findings})
    else:
        table = output.table("Check", "", "Found")
        for finding in findings:
            mark = "[green]works[/green]" if finding.works else "[red]fails[/red]"
            table.add_row(finding.check, mark, output.text(finding.detail))
        output.show(table)
    raise typer.Exit(ExitCode.DONE if works else ExitCode.BROKEN)


def _verify_erased(user: str, *, as_json: bool) -> None:
    from mien.config import open_app

    with open_app() as app:
        traces = app.verify_erased(user)
    if as_json:
        output.emit({"erased": not traces, "traces": traces})
    else:
        output.show(f"Traces are left in: {', '.join(traces)}." if traces else "No trace is left in any store.")
    raise typer.Exit(ExitCode.NO if traces else ExitCode.DONE)


def _look_over(*, as_json: bool) -> None:
    from mien.config import open_app

    with open_app() as app:
        found = app.inspect()
    if as_json:
        output.emit({"findings": found})
    else:
        for finding in found:
            faces = ", ".join(finding.face_ids)
            output.show(output.text(f"{finding.evidence}\n  Faces: {faces}\n  {finding.action}\n"))
        if not found:
            output.show("Nothing looks wrong with who is enrolled.")
    raise typer.Exit(ExitCode.NO if found else ExitCode.DONE)


def _reconcile(*, as_json: bool) -> None:
    from mien.cli.repair import reconcile
    from mien.config import Settings

    counts = reconcile(Settings.from_environment())
    if as_json:
        output.emit(counts)
    else:
        output.show("Put right: " + ", ".join(f"{what.replace('_', ' ')} {count}" for what, count in counts.items()))
