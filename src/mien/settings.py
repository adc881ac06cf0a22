"""Read the settings from MIEN_*, as one value.

No other module reads these variables, but for MIEN_CPU, which the kernels read themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from enum import EnumType, StrEnum
from pathlib import Path
from typing import Any

from mien import setting_parsers as parsers
from mien.domain import thresholds
from mien.domain.errors import InvalidInput, SetupError
from mien.domain.policy import MAX_FACES_PER_PHOTO, Policy, SeveralFaces
from mien.rekognition.settings import ACCOUNT, SigV4, WireSettings, parse_rates
from mien.security.origins import is_loopback

PREFIX = "MIEN_"
CLOSE_SPELLING = 0.9
"""How alike, from 0 to 1, a variable is to the setting that is meant by it."""
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

    try:
        return user_data_path("mien")
    except RuntimeError as error:
        raise SetupError("This user has no home folder: set MIEN_DATA_DIR to the folder for Mien's data.") from error


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


_PARSERS: dict[str, Callable[[str], Any]] = {
    "backend": Backend,
    "data_dir": parsers.path,
    "models_dir": parsers.path,
    "threads": parsers.whole_number(1, MAX_THREADS),
    "cpu": Processor,
    "max_pixels": parsers.whole_number(1, MAX_PIXELS),
    "look_seconds": parsers.whole_number(1, MAX_LOOK_SECONDS),
    "mirrored": parsers.boolean,
    "user_vectors": parsers.boolean,
    "enrollment_checks": parsers.boolean,
    "max_faces": parsers.whole_number(1, MAX_FACES_PER_PHOTO),
    "result_days": parsers.whole_number(1, MAX_DAYS),
    "visitor_days": parsers.whole_number(1, MAX_DAYS),
    "audit_days": parsers.whole_number(1, MAX_DAYS),
    "api_keys_file": parsers.path,
    "access_keys_file": parsers.path,
    "sigv4": SigV4,
    "rekognition_account": parsers.account,
    "rekognition_limits": parse_rates,
    "rekognition_delay": parsers.delay,
    "root_path": parsers.root_path,
    "cors_origins": parsers.words,
    "max_waiting": parsers.whole_number(0),
    "rate_per_minute": parsers.whole_number(1),
    "threshold": parsers.threshold,
    "margin": parsers.margin,
    "several_faces": SeveralFaces,
    "candidates": parsers.whole_number(0),
    "max_image_bytes": parsers.whole_number(1),
}


def misspelt_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Find variables that are set, and that only look like a setting; return the setting that each looks like."""
    known = [PREFIX + part.name.upper() for part in (*fields(Settings), *fields(Policy)) if part.name != "policy"]
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    meant = ((name, get_close_matches(name, known, 1, CLOSE_SPELLING)) for name in unknown)
    return {name: matches[0] for name, matches in meant if matches}


def _refuse_unavailable_settings(backend: Backend, environment: Mapping[str, str]) -> None:
    for name in UNAVAILABLE[backend]:
        variable = PREFIX + name.upper()
        if environment.get(variable):
            raise SetupError(f"{variable} has no effect with the backend {backend}; unset it.")


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
