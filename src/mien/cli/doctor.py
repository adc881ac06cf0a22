"""Check that models, storage and settings work on this machine, or that the stack on AWS does: `mien doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import typer

from mien.app.erasure import describe_pending
from mien.cli import output
from mien.cli.command import Context, Json
from mien.cli.exit_codes import ExitCode
from mien.config import open_app, open_embedded, open_engine
from mien.domain.errors import MienError, SetupError, StorageDamaged, StorageError
from mien.domain.faces import iterate_pages
from mien.domain.image_types import FACELESS_PNG
from mien.domain.records import Upload
from mien.domain.waiting import available_cores
from mien.settings import Backend, Settings

LIBRARIES = ("llvmlite", "numpy", "opencv-python-headless", "pillow", "simplejpeg", "fastapi")
MAX_LISTED = 20
REMINDER_DAYS = 30
MIN_FREE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`detail` is what was checked, or the message of the error."""

    check: str
    works: bool
    detail: str


def doctor(context: Context, as_json: Json = False) -> None:
    """Check models, storage and settings.

    Exit code 0 when everything works, 4 when something does not.
    """
    results = list(_run_checks(context.settings))
    works = all(result.works for result in results)
    if as_json:
        output.print_json({"works": works, "checks": results})
    else:
        table = output.table("Check", "Result", "Details")
        for result in results:
            mark = "[green]works[/green]" if result.works else "[red]fails[/red]"
            table.add_row(result.check, mark, output.escape(result.detail))
        output.show(table)
    raise typer.Exit(ExitCode.SUCCESS if works else ExitCode.ERROR)


def _run_checks(settings: Settings) -> Iterator[CheckResult]:
    """Run every check that applies to the backend, each after those on which it depends.

    A check returns a detail to show, or raises the error that it met.
    """
    checks: list[tuple[str, Callable[[Settings], str]]] = [("system", _system), ("libraries", _libraries)]
    if settings.backend is Backend.EMBEDDED:
        checks += [("models", _models), ("recognition", _recognition), ("data folder", _data_folder)]
        # The keys come first: closing the data folder would hide that everybody could change them.
        checks += [("keys", _keys), ("permissions", _permissions), ("database", _database), ("records", _records)]
        checks += [("photos", _photos)]
    checks += [("application", _application), ("erasures", _erasures), ("retention", _retention)]
    for name, check in checks:
        try:
            yield CheckResult(name, works=True, detail=check(settings))
        except MienError as error:
            yield CheckResult(name, works=False, detail=str(error))
    if settings.backend is Backend.AWS:
        try:
            yield from _stack(settings)
        except SetupError as error:
            yield CheckResult("stack", works=False, detail=str(error))


def _system(_: Settings) -> str:
    cores = output.count(available_cores(), "core")
    return f"mien {version('mien')}, Python {platform.python_version()}, {platform.system()}, {cores}"


def _libraries(settings: Settings) -> str:
    names: tuple[str, ...] = LIBRARIES
    if settings.backend is Backend.AWS:
        from mien.backends import aws

        names = aws.LIBRARIES
    return ", ".join(f"{name} {version(name)}" for name in names)


def _models(settings: Settings) -> str:
    from mien.engine import model_files

    detector = model_files.load(model_files.DETECTOR, settings.models_dir)
    embedder = model_files.load(model_files.EMBEDDER, settings.models_dir)
    return f"detector SHA-256 {detector.sha256[:12]}…, recogniser SHA-256 {embedder.sha256[:12]}…"


def _recognition(settings: Settings) -> str:
    """Run the detector on an image without a face."""
    engine = open_engine(settings)
    if engine.read(FACELESS_PNG):
        raise SetupError("The detector finds a face in a grey image: the models do not work on this machine.")
    return f"model {engine.model_version}"


def _data_folder(settings: Settings) -> str:
    from mien.gallery.store import private_files
    from mien.gallery.store.database import READ_ONLY, is_read_only

    folder = settings.data_dir
    if is_read_only(folder / "mien.db"):
        raise StorageError(f"{folder}: {READ_ONLY} The audit log records nothing.")
    try:
        private_files.make_folder(folder)
        probe = folder / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(f"{folder} cannot be written to: {error.strerror}.") from error
    if free < MIN_FREE_BYTES:
        raise StorageError(f"{folder} has only {free / 1e6:.0f} MB of free space.")
    return f"{folder}, {free / 1e9:.1f} GB free"


def _keys(settings: Settings) -> str:
    """Read the files of keys, which refuses those that everybody may change."""
    from mien.rekognition.access_keys import load_keys
    from mien.security.api_keys import KeyFile

    api_keys = KeyFile(settings.api_keys_file or settings.default_keys_file).list()
    access_keys = load_keys(settings.access_keys_file) if settings.access_keys_file else {}
    return f"{output.count(len(api_keys), 'API key')}, {output.count(len(access_keys), 'access key')}"


def _permissions(settings: Settings) -> str:
    """Take others' permissions from the data folder, and check that this worked."""
    from mien.backends.embedded.backend import CONTENT
    from mien.gallery.store import private_files

    folder = settings.data_dir
    private_files.restrict(folder, CONTENT)
    left = 0
    for path in (folder / name for name in CONTENT):
        private_files.restrict_tree(path)
        left += len(private_files.find_open(path))
    if left or private_files.has_open_permissions(folder):
        raise StorageError(
            f"Others on this machine have permissions for {folder} or files in it, and this user or the file system "
            "cannot take them away."
        )
    return "for this user only"


def _database(settings: Settings) -> str:
    file = settings.data_dir / "mien.db"
    if not file.exists():
        return "not created yet"
    return f"{file.stat().st_size / 1e6:.1f} MB, intact" if _is_intact(file) else "in use by another process"


def _is_intact(file: Path) -> bool:
    """Run SQLite's own check; False when the database is locked. Raises StorageDamaged."""
    from mien.gallery.store.database import is_read_only, read_only_uri

    uri = read_only_uri(file) if is_read_only(file) else f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            problems = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError as error:
        raise StorageDamaged(f"{file} is not a SQLite database, or is damaged; restore it from a backup.") from error
    if problems != ["ok"]:
        raise StorageDamaged(f"{file} is damaged; restore it from a backup.")
    return True


def _records(settings: Settings) -> str:
    """Read every record of the database."""
    from mien.backends.embedded.damage import check_records

    backend = open_embedded(settings)
    with backend.app:
        return f"{output.count(check_records(backend.database), 'record')}, all readable"


def _photos(settings: Settings) -> str:
    """Check that the photo folder belongs to the database, and that no photo was deleted by hand; name what is none."""
    from mien.backends.embedded.watcher import folders_not_taken

    backend = open_embedded(settings)
    with backend.app:
        deleted = len(backend.worker(threads=1).missing_photos())
        ignored = list(backend.bucket.ignored())
        uploads = iterate_pages(lambda token: backend.catalog.find(Upload, limit=1000, token=token))
        not_taken = folders_not_taken(ignored, uploads)
        problems = (backend.worker(threads=1).watcher.find_problem(), backend.failed_photos())
    if deleted:
        raise StorageError(
            f"{output.count(deleted, 'photo')} deleted by hand; run `mien repair` to remove the faces, too."
        )
    ignoring = _list("not photos, and ignored", [f"{_printable(entry.path)} ({entry.kind})" for entry in ignored])
    refusing = _list("folders that cannot be a person's", list(map(_printable, not_taken)))
    return (
        f"{settings.data_dir / 'bucket'}{ignoring}{refusing}{''.join(f'; {each.message}' for each in problems if each)}"
    )


def _list(what: str, found: list[str]) -> str:
    more = [f"and {len(found) - MAX_LISTED:,} more"] if len(found) > MAX_LISTED else []
    return f"; {what}: {', '.join([*found[:MAX_LISTED], *more])}" if found else ""


def _printable(path: str) -> str:
    """Write the bytes of a path that are not Unicode as escape sequences."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _erasures(settings: Settings) -> str:
    """Check that everybody who was to be forgotten is."""
    with open_app(settings) as app:
        pending = app.pending_erasures()
    if pending:
        raise StorageError(f"{describe_pending(pending)} A running server tries again; `mien repair` does it now.")
    return "all finished"


def _application(settings: Settings) -> str:
    with open_app(settings) as app:
        people = app.people(limit=1000)
    if settings.backend is Backend.EMBEDDED and people.items:
        from mien.backends.embedded.backend import LOST_FACES

        backend = open_embedded(settings)
        with backend.app:
            if backend.has_lost_faces():
                raise StorageError(LOST_FACES.message)
    more = " or more" if people.next_token else ""
    return f"{settings.backend}, collection {settings.collection}, people enrolled: {len(people.items)}{more}"


def _retention(settings: Settings) -> str:
    """Say what is deleted when, and how many people are to be asked again soon."""
    policy = settings.policy
    kept = {"recognitions": policy.result_days, "photos of nobody": policy.visitor_days}
    parts = [f"{what}: {f'deleted after {days} days' if days else 'kept'}" for what, days in kept.items()]
    soon = datetime.now(UTC).date() + timedelta(days=REMINDER_DAYS)
    with open_app(settings) as app:
        ending = app.people(limit=1000, consent_before=soon)
    more = " or more" if ending.next_token else ""
    parts.append(f"consents that end within {REMINDER_DAYS} days: {len(ending.items)}{more}")
    return ", ".join(parts)


def _stack(settings: Settings) -> Iterator[CheckResult]:
    """Check every permission that the command line needs, the functions' roles, and the settings of the stack."""
    from mien.backends.aws.doctor import examine

    for finding in examine(settings):
        yield CheckResult(finding.subject, works=not finding.advice, detail=finding.advice or "allowed")
