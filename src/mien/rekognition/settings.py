"""Define the settings of the wire API as values, which `mien.settings` fills from the environment.

AWS's default request rates are here as well, for people who test their retry code against them.

Source of the rates: AWS General Reference, "Amazon Rekognition endpoints and quotas",
https://docs.aws.amazon.com/general/latest/gr/rekognition.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mien.domain.errors import SetupError
from mien.rekognition.access_keys import AccessKey

ACCOUNT = "123456789012"

_SEARCHES = ("IndexFaces", "SearchFaces", "SearchFacesByImage", "SearchUsers", "SearchUsersByImage", "ListFaces")
_DETECTIONS = ("CompareFaces", "DetectFaces")
_TAGS = ("TagResource", "UntagResource", "ListTagsForResource")
_MANAGEMENT = (
    "AssociateFaces",
    "DisassociateFaces",
    "CreateCollection",
    "DeleteCollection",
    "DescribeCollection",
    "ListCollections",
    "DeleteFaces",
    "CreateUser",
    "DeleteUser",
    "ListUsers",
)


def _aws_rates(searches: float, detections: float) -> dict[str, float]:
    groups = ((_SEARCHES, searches), (_DETECTIONS, detections), (_TAGS, 10.0), (_MANAGEMENT, 5.0))
    return {operation: rate for operations, rate in groups for operation in operations}


LARGE_REGION_RATES = _aws_rates(searches=50, detections=100)
"""Requests per second by operation in us-east-1, us-west-2 and eu-west-1."""

OTHER_REGION_RATES = _aws_rates(searches=5, detections=25)
"""Requests per second by operation in every other region."""


class SigV4(StrEnum):
    """Whether signatures are verified, or any access key is accepted (for trials on one's own machine)."""

    VERIFY = "verify"
    ACCEPT_ANY = "accept-any"


@dataclass(frozen=True, slots=True)
class WireSettings:
    """The settings of the wire API; the defaults verify signatures, and know no access key.

    Attributes:
        sigv4: ACCEPT_ANY accepts any well-formed signature, from programs on this machine only.
        keys: The known access keys by their ids.
        region: The only region whose signatures are accepted; None accepts any. ARNs name the caller's region.
        account: The account number in ARNs, 12 digits.
        rates: Requests per second by operation; an operation that is not listed is not limited.
        delay: Seconds for which searches do not find a new face; 0 for none.
        workers: Requests that are answered at the same time; 0 for one more than the machine has cores.
        max_waiting: Requests that may wait for a thread; further ones are throttled.
    """

    sigv4: SigV4 = SigV4.VERIFY
    keys: Mapping[str, AccessKey] = field(default_factory=dict)
    region: str | None = None
    account: str = ACCOUNT
    rates: Mapping[str, float] = field(default_factory=dict)
    delay: float = 0.0
    workers: int = 0
    max_waiting: int = 64


def parse_rates(text: str) -> dict[str, float]:
    """Parse request rates: `off`, `us-east-1`, `other-region`, or a list such as `IndexFaces=5,SearchFaces=2`.

    Returns requests per second by operation. Raises SetupError for any other text, an unknown operation or a rate
    that is not above 0.
    """
    presets = {"": {}, "off": {}, "us-east-1": LARGE_REGION_RATES, "other-region": OTHER_REGION_RATES}
    if text in presets:
        return dict(presets[text])
    try:
        rates = {name.strip(): float(rate) for name, rate in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        rates = {}
    if not rates or not rates.keys() <= LARGE_REGION_RATES.keys() or not all(rate > 0 for rate in rates.values()):
        raise SetupError(
            "The rate limits must be off, us-east-1, other-region, or a list such as IndexFaces=5,SearchFaces=2."
        )
    return rates
