"""How the wire API behaves. `mien.config` makes these settings from the environment; nothing here reads it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mien.rekognition.access_keys import AccessKey

ACCOUNT = "123456789012"


class SigV4(StrEnum):
    """Whether signatures are verified, or any access key is taken (for trials on one's own machine)."""

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


def is_loopback(host: str) -> bool:
    """Whether an address or host name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
