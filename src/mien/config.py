"""Read the settings from MIEN_* and open the application that they describe.

No other module reads these variables or chooses a backend, but for MIEN_CPU, which the kernels read themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from enum import EnumType, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.domain import thresholds
from mien.domain.errors import InvalidInput, SetupError, StorageReadOnly
from mien.domain.policy import MAX_FACES_PER_PHOTO, Policy, SeveralFaces
from mien.rekognition.settings import ACCOUNT, SigV4, WireSettings, parse_rates
from mien.security.audit import LogLines
from mien.security.origins import is_loopback

if TYPE_CHECKING:
    from mien.app.app import FaceApp
    from mien.backends.embedded.backend import EmbeddedBackend
    from mien.engine import FaceEngine
    from mien.security.audit import Audit

PREFIX = "MIEN_"
MAX_DELAY_SECONDS = 3600
MAX_COUNT = 1_000_000_000
MAX_ROOT_PATH = 200
_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
MAX_THREADS = 1024
MAX_DAYS = 36_500
MAX_LOOK_SECONDS = 86_400
MAX_PIXELS = 178_000_000
"""The imaging library refuses larger images by itself."""


Processor = StrEnum(
    "Processor",
    {
        "AUTO": "auto",
        "AVX512_VNNI": "avx512vnni",
        "AVX_VNNI": "avxvnni",
        "AVX2": "avx2",
        "NEON_I8MM": "neon-i8mm",
        "NEON_DOTPROD": "neon-dotprod",
        "NEON": "neon",
    },
)
"""The instruction sets that `kernels.instruction_sets` knows, and the best that this processor has."""


class Backend(StrEnum):
    """Where Mien runs: on this machine, or on AWS."""

    EMBEDDED = "embedded"
    AWS = "aws"


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("mien")


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is the variable MIEN_<NAME>; `policy` has those of `Policy` in the same way.

    None means "not set". `sigv4` and the fields from `rekognition_region` on are those of the wire API; its rates
    (`rekognition_limits`) are requests per second by operation, its delay is in seconds.
    """

    backend: Backend = Backend.EMBEDDED
    stack: str | None = None
    data_dir: Path = field(default_factory=_default_data_dir)
    models_dir: Path | None = None
    threads: int | None = None
    cpu: Processor = Processor.AUTO
    max_pixels: int | None = None
    mirrored: bool = False
    look_seconds: int = 300
    collection: str = "face-collection"
    bucket: str = "facial-recognition-bucket"
    faces_table: str = "FaceMetadata"
    recognitions_table: str = "RecognitionResults"
    records_table: str = "MienRecords"
    audit_days: int | None = None
    upload_queue_url: str | None = None
    keys_secret: str | None = None
    rekognition_keys_secret: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_scopes: str = "scope"
    api_keys_file: Path | None = None
    access_keys_file: Path | None = None
    sigv4: SigV4 | None = None
    rekognition_region: str | None = None
    rekognition_account: str = ACCOUNT
    rekognition_limits: Mapping[str, float] = field(default_factory=dict)
    rekognition_delay: float = 0.0
    secret: str | None = None
    root_path: str = ""
    cors_origins: tuple[str, ...] = ()
    max_waiting: int = 64
    rate_per_minute: int = 6000
    policy: Policy = field(default_factory=Policy)

    @property
    def default_keys_file(self) -> Path:
        """Where `mien keys` writes, and `mien serve` looks, when `api_keys_file` is not set."""
        return self.data_dir / "api-keys.json"

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        data_dir: Path | None = None,
        backend: str | None = None,
        stack: str | None = None,
    ) -> Settings:
        """Parse the MIEN_* variables of `environment`, by default of the process; an empty one is not set.

        `data_dir`, `backend` and `stack` take the place of MIEN_DATA_DIR, MIEN_BACKEND and MIEN_STACK. A stack on AWS
        sets everything that the environment does not; what it names itself must not be another resource. Raises
        SetupError for a variable that has an impossible value, or that the backend does not have, and StorageError
        when a stack cannot be read.
        """
        values = dict(os.environ if environment is None else environment)
        if data_dir is not None:
            values["MIEN_DATA_DIR"] = str(data_dir)
        if backend is not None:
            values["MIEN_BACKEND"] = backend
        if stack is not None:
            values["MIEN_STACK"] = stack
        if values.get("MIEN_STACK") and values.get("MIEN_BACKEND") in {None, "", Backend.AWS}:
            from mien.backends.aws.outputs import settings_of

            overridable = {PREFIX + part.name.upper() for part in fields(Policy)}
            values |= settings_of(values["MIEN_STACK"], values, overridable)
        settings = cls(**_read(cls, values), policy=Policy(**_read(Policy, values)))
        _refuse_unavailable_settings(settings.backend, values)
        if settings.backend is Backend.AWS and thresholds.is_rate(settings.policy.threshold):
            raise SetupError("MIEN_THRESHOLD must be a similarity here: Rekognition's error rates are not published.")
        return settings

    def wire_settings(self, host: str) -> WireSettings:
        """Return the settings of the wire API on a server that listens on `host`.

        Without MIEN_SIGV4, a server on loopback without API keys and access keys accepts any signature; every other
        one verifies. Raises SetupError when other machines could reach a server that verifies nothing, or for a
        file of access keys that cannot be read.
        """
        from mien.rekognition.access_keys import AccessKeyFile

        is_keyless = self.access_keys_file is None and self.api_keys_file is None
        sigv4 = self.sigv4 or (SigV4.ACCEPT_ANY if is_keyless and is_loopback(host) else SigV4.VERIFY)
        if sigv4 is SigV4.ACCEPT_ANY and not is_loopback(host):
            raise SetupError("MIEN_SIGV4=accept-any is for loopback addresses only, such as 127.0.0.1.")
        return WireSettings(
            sigv4=sigv4,
            keys=AccessKeyFile(self.access_keys_file) if self.access_keys_file else {},
            region=self.rekognition_region,
            account=self.rekognition_account,
            rates=self.rekognition_limits,
            delay=self.rekognition_delay,
        )


def _threshold(text: str) -> str | float:
    """Check a threshold, and keep an error rate as text: its similarity depends on how many faces are enrolled."""
    thresholds.parse(text)
    return text if thresholds.is_automatic(text) or thresholds.is_rate(text) else float(text)


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InvalidInput(f"There is no home folder for {text.partition('/')[0]}.") from None


def _whole(low: int, high: int = MAX_COUNT) -> Callable[[str], int]:
    """Return a parser of integers from `low` to `high`."""

    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise InvalidInput(f"It must be a whole number, {low} to {high}.")
        return number

    return parse


def _margin(text: str) -> float:
    odds = float(text)
    if not 1 <= odds <= MAX_COUNT:
        raise InvalidInput("It must be a number, 1 or more.")
    return odds


def parse_root_path(text: str) -> str:
    """Return a path prefix without a slash at its end; empty for `/`.

    Raises InvalidInput for what is not a path, or could be read as another host or as a way out of the prefix.
    """
    prefix = text.strip().rstrip("/")
    if len(prefix) > MAX_ROOT_PATH or not _ROOT_PATH.fullmatch(prefix):
        raise InvalidInput("It must be a path such as /mien.")
    return prefix


def _account(text: str) -> str:
    if not re.fullmatch("[0-9]{12}", text):
        raise InvalidInput("An AWS account number has 12 digits.")
    return text


def _delay(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MAX_DELAY_SECONDS:
        raise InvalidInput(f"It must be a number of seconds, 0 to {MAX_DELAY_SECONDS}.")
    return seconds


UNAVAILABLE = {
    Backend.EMBEDDED: (
        "stack",
        "faces_table",
        "recognitions_table",
        "records_table",
        "upload_queue_url",
        "keys_secret",
        "rekognition_keys_secret",
        "jwt_issuer",
        "jwt_audience",
        "jwt_scopes",
        "user_vectors",
    ),
    Backend.AWS: (
        "models_dir",
        "threads",
        "cpu",
        "max_pixels",
        "mirrored",
        "look_seconds",
        "root_path",
        "audit_days",
        "secret",
        "api_keys_file",
        "access_keys_file",
        "sigv4",
        "rekognition_region",
        "rekognition_account",
        "rekognition_limits",
        "rekognition_delay",
    ),
}
"""The settings that a backend does not have."""


def _refuse_unavailable_settings(backend: Backend, environment: Mapping[str, str]) -> None:
    for name in UNAVAILABLE[backend]:
        variable = PREFIX + name.upper()
        if environment.get(variable):
            raise SetupError(f"{variable} has no effect with the backend {backend}; unset it.")


_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "backend": Backend,
    "data_dir": _path,
    "models_dir": _path,
    "threads": _whole(1, MAX_THREADS),
    "cpu": Processor,
    "max_pixels": _whole(1, MAX_PIXELS),
    "look_seconds": _whole(1, MAX_LOOK_SECONDS),
    "mirrored": lambda text: _BOOLEANS[text.strip().lower()],
    "user_vectors": lambda text: _BOOLEANS[text.strip().lower()],
    "enrollment_checks": lambda text: _BOOLEANS[text.strip().lower()],
    "max_faces": _whole(1, MAX_FACES_PER_PHOTO),
    "result_days": _whole(1, MAX_DAYS),
    "visitor_days": _whole(1, MAX_DAYS),
    "audit_days": _whole(1, MAX_DAYS),
    "api_keys_file": _path,
    "access_keys_file": _path,
    "sigv4": SigV4,
    "rekognition_account": _account,
    "rekognition_limits": parse_rates,
    "rekognition_delay": _delay,
    "root_path": parse_root_path,
    "cors_origins": lambda text: tuple(filter(None, text.replace(",", " ").split())),
    "max_waiting": _whole(0),
    "rate_per_minute": _whole(1),
    "threshold": _threshold,
    "margin": _margin,
    "several_faces": SeveralFaces,
    "candidates": _whole(0),
    "max_image_bytes": _whole(1),
}


def _read(kind: type, environment: Mapping[str, str]) -> dict[str, Any]:
    """Parse the variables that are set, as fields of `kind`."""
    values = {}
    for name in (part.name for part in fields(kind) if part.name != "policy"):
        variable = PREFIX + name.upper()
        text = environment.get(variable)
        if not text:
            continue
        parse = _PARSERS.get(name, str)
        try:
            values[name] = parse(text)
        except (InvalidInput, SetupError) as error:
            raise SetupError(f"{variable}: {error}") from None
        except (ValueError, KeyError):
            choices = f"; it is one of {', '.join(parse)}" if isinstance(parse, EnumType) else ""
            raise SetupError(f"{variable} cannot be {text!r}{choices}.") from None
    return values


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
