"""Open the application that the settings describe, and its parts: the only place that chooses a backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mien.domain.errors import SetupError, StorageReadOnly
from mien.security.audit import LogLines
from mien.settings import Backend, Settings

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.backends.embedded.backend import EmbeddedBackend
    from mien.engine import FaceEngine
    from mien.security.audit import Audit


def open_app(settings: Settings | None = None) -> FaceApp:
    """Open the application that the settings describe, by default those of the environment.

    Close it, or use it in a `with` statement. Raises SetupError and StorageError.
    """
    settings = settings or Settings.from_environment()
    if settings.backend is Backend.AWS:
        from mien.backends.aws.stack import open_app as open_on_aws

        return open_on_aws(settings)
    return open_embedded(settings).app


def open_embedded(settings: Settings) -> EmbeddedBackend:
    """Open the embedded backend whole, for a server that also runs its events. SetupError on another backend."""
    if settings.backend is not Backend.EMBEDDED:
        raise SetupError("This needs the embedded backend; on AWS, API Gateway and Lambda do it. Unset MIEN_BACKEND.")
    from mien.backends.embedded.backend import EmbeddedBackend

    return EmbeddedBackend(
        settings.data_dir,
        settings.collection,
        settings.policy,
        lambda: open_engine(settings),
        audit_days=settings.audit_days,
    )


@contextmanager
def open_audit(settings: Settings) -> Iterator[Audit]:
    """Open the audit log that the settings describe. Raises StorageError leaves."""
    if settings.backend is Backend.AWS:
        yield LogLines()
        return
    backend = open_embedded(settings)
    with backend.app:
        yield backend.audit


def check_writable(settings: Settings) -> None:
    """Raise StorageReadOnly when the data folder exists and can only be read."""
    if settings.backend is Backend.EMBEDDED:
        from mien.gallery.store.database import READ_ONLY, is_read_only

        if is_read_only(settings.data_dir / "mien.db"):
            raise StorageReadOnly(READ_ONLY)


def open_engine(settings: Settings | None = None) -> FaceEngine:
    """Load the engine with the settings' models and threads. Raises WeightsMissing or WeightsDamaged."""
    from mien.engine import FaceEngine, Limits

    settings = settings or Settings.from_environment()
    usual = Limits()
    pixels = settings.max_pixels or usual.max_pixels
    limits = Limits(
        max_bytes=max(usual.max_bytes, settings.policy.max_image_bytes),
        max_pixels=pixels,
        max_memory=max(usual.max_memory, 4 * pixels),
    )
    return FaceEngine(
        threads=settings.threads,
        models_dir=settings.models_dir,
        limits=limits,
        mirrored=settings.mirrored,
    )
