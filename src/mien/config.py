"""Settings from the environment (MIEN_*), and what they describe, opened: the only place that chooses a backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.domain import thresholds
from mien.domain.errors import InvalidInput, SetupError
from mien.domain.policy import Policy, SeveralFaces

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.backends.embedded.backend import EmbeddedBackend
    from mien.engine import FaceEngine
    from mien.gallery import Gallery

PREFIX = "MIEN_"


class Backend(StrEnum):
    EMBEDDED = "embedded"
    AWS = "aws"


class SigV4(StrEnum):
    """Whether the wire API checks signatures, or takes any access key (for trials on loopback)."""

    VERIFY = "verify"
    ACCEPT_ANY = "accept-any"


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("mien")


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is the variable MIEN_<NAME>; `policy` has those of `Policy` in the same way."""

    backend: Backend = Backend.EMBEDDED
    data_dir: Path = field(default_factory=_default_data_dir)
    models_dir: Path | None = None
    threads: int | None = None
    mirrored: bool = False
    collection: str = "face-collection"
    bucket: str = "facial-recognition-bucket"
    faces_table: str = "FaceMetadata"
    recognitions_table: str = "RecognitionResults"
    records_table: str = "MienRecords"
    result_days: int | None = None
    upload_queue_url: str | None = None
    keys_secret: str | None = None
    rekognition_keys_secret: str | None = None
    api_keys_file: Path | None = None
    access_keys_file: Path | None = None
    sigv4: SigV4 = SigV4.VERIFY
    secret: str | None = None
    cors_origins: tuple[str, ...] = ()
    max_waiting: int = 64
    rate_per_minute: int = 6000
    policy: Policy = field(default_factory=Policy)

    @property
    def default_keys_file(self) -> Path:
        """Where `mien keys` writes, and `mien serve` looks, when `api_keys_file` says nothing."""
        return self.data_dir / "api-keys.json"

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        data_dir: Path | None = None,
        backend: str | None = None,
    ) -> Settings:
        """Parse the MIEN_* variables of `environment`, by default of the process.

        `data_dir` and `backend` take the place of MIEN_DATA_DIR and MIEN_BACKEND. Raises SetupError for a variable
        that has an impossible value.
        """
        values = dict(os.environ if environment is None else environment)
        if data_dir is not None:
            values["MIEN_DATA_DIR"] = str(data_dir)
        if backend is not None:
            values["MIEN_BACKEND"] = backend
        settings = cls(**_read(cls, values), policy=Policy(**_read(Policy, values)))
        if settings.backend is Backend.AWS and thresholds.is_rate(settings.policy.threshold):
            raise SetupError("MIEN_THRESHOLD must be a similarity here: Rekognition's error rates are not published.")
        return settings


def _threshold(text: str) -> str | float:
    """Kept as it is given: what `fpir=0.01` means depends on how many are enrolled."""
    thresholds.threshold(text)
    return text if thresholds.is_rate(text) else float(text)


_TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_READERS: dict[str, Callable[[str], Any]] = {
    "backend": Backend,
    "data_dir": Path,
    "models_dir": Path,
    "threads": int,
    "mirrored": lambda text: _TRUTHS[text.strip().lower()],
    "api_keys_file": Path,
    "access_keys_file": Path,
    "sigv4": SigV4,
    "cors_origins": lambda text: tuple(filter(None, text.replace(",", " ").split())),
    "max_waiting": int,
    "result_days": int,
    "rate_per_minute": int,
    "threshold": _threshold,
    "margin": float,
    "several_faces": SeveralFaces,
    "candidates": int,
    "max_image_bytes": int,
}


def _read(kind: type, environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name in (part.name for part in fields(kind) if part.name != "policy"):
        text = environment.get(PREFIX + name.upper())
        if text:
            try:
                found[name] = _READERS.get(name, str)(text)
            except InvalidInput as error:
                raise SetupError(f"{PREFIX}{name.upper()}: {error}") from None
            except (ValueError, KeyError):
                raise SetupError(f"{PREFIX}{name.upper()} cannot be {text!r}.") from None
    return found


def open_app(settings: Settings | None = None) -> FaceApp:
    """The application that the environment describes; close it, or use it in a `with` statement."""
    settings = settings or Settings.from_environment()
    if settings.backend is Backend.AWS:
        from mien.backends.aws import open_app as open_on_aws

        return open_on_aws(settings)
    return open_machine(settings).app


def open_machine(settings: Settings) -> EmbeddedBackend:
    """The embedded backend whole, for those who also run its events: the server. SetupError on another backend."""
    if settings.backend is not Backend.EMBEDDED:
        raise SetupError("This needs the embedded backend; on AWS, API Gateway and Lambda do it. Unset MIEN_BACKEND.")
    from mien.backends.embedded.backend import EmbeddedBackend

    return EmbeddedBackend(settings.data_dir, settings.collection, settings.policy, lambda: open_engine(settings))


def open_engine(settings: Settings | None = None) -> FaceEngine:
    """Raises WeightsMissing or WeightsDamaged."""
    from mien.engine import FaceEngine

    settings = settings or Settings.from_environment()
    return FaceEngine(threads=settings.threads, models_dir=settings.models_dir, mirrored=settings.mirrored)


def open_gallery(engine: FaceEngine, settings: Settings | None = None) -> Gallery:
    from mien.gallery import Gallery

    settings = settings or Settings.from_environment()
    return Gallery(settings.data_dir, engine.model_version)
