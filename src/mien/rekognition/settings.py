"""How the wire API behaves, from MIEN_* environment variables. Safe unless asked otherwise."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from mien.domain.errors import SetupError
from mien.rekognition.access_keys import AccessKey, load_keys
from mien.rekognition.rates import read_rates

ACCOUNT = "123456789012"


class SigV4(StrEnum):
    VERIFY = "verify"
    ACCEPT_ANY = "accept-any"


@dataclass(frozen=True, slots=True)
class WireSettings:
    """`sigv4`: ACCEPT_ANY takes any well-formed signature, from this machine only.

    `region`: the only region whose signatures count; None takes any, and answers with the caller's own.
    `rates`: requests per second by operation. `delay`: seconds until a new face is found by searches.
    `workers`: requests that are worked on at once, 0 for one more than there are cores. `most_waiting`: requests
    beyond this are told to slow down.
    """

    sigv4: SigV4 = SigV4.VERIFY
    keys: Mapping[str, AccessKey] = field(default_factory=dict)
    region: str | None = None
    account: str = ACCOUNT
    rates: Mapping[str, float] = field(default_factory=dict)
    delay: float = 0.0
    workers: int = 0
    most_waiting: int = 64

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], host: str) -> WireSettings:
        """Read the settings for a server that binds to `host`. Raises SetupError.

        Without MIEN_SIGV4, a server on loopback without a keys file takes any signature; every other one verifies.
        """
        keys_file = environment.get("MIEN_ACCESS_KEYS_FILE")
        mode = environment.get("MIEN_SIGV4") or (
            SigV4.ACCEPT_ANY if is_loopback(host) and not keys_file else SigV4.VERIFY
        )
        if mode not in list(SigV4):
            raise SetupError("MIEN_SIGV4 must be verify or accept-any.")
        if mode == SigV4.ACCEPT_ANY and not is_loopback(host):
            raise SetupError("MIEN_SIGV4=accept-any is for loopback addresses only, such as 127.0.0.1.")
        return cls(
            sigv4=SigV4(mode),
            keys=load_keys(Path(keys_file)) if keys_file else {},
            region=environment.get("MIEN_REKOGNITION_REGION") or None,
            account=_account(environment.get("MIEN_REKOGNITION_ACCOUNT") or ACCOUNT),
            rates=read_rates(environment.get("MIEN_REKOGNITION_LIMITS", "")),
            delay=_seconds(environment.get("MIEN_REKOGNITION_DELAY", "0")),
        )


def is_loopback(host: str) -> bool:
    """Whether an address or host name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _account(text: str) -> str:
    if not re.fullmatch("[0-9]{12}", text):
        raise SetupError("MIEN_REKOGNITION_ACCOUNT must be an AWS account number of 12 digits.")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise SetupError("MIEN_REKOGNITION_DELAY must be a number of seconds, 0 to 3600.")
    return seconds
