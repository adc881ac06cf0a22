"""AWS's request rates, for people who test their retry code. Off by default.

Each operation has a bucket that holds one second's worth of requests and fills evenly. An empty bucket answers
ProvisionedThroughputExceededException; a caller who then goes on at more than twice the rate, ThrottlingException.
Rates: https://docs.aws.amazon.com/general/latest/gr/rekognition.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from mien.domain.errors import SetupError
from mien.rekognition.errors import SLOW_DOWN, WireError
from mien.security.rate_limit import TokenBucket

BURST_SECONDS = 1

SEARCHES = ("IndexFaces", "SearchFaces", "SearchFacesByImage", "SearchUsers", "SearchUsersByImage", "ListFaces")
STATELESS = ("CompareFaces", "DetectFaces")
TAGS = ("TagResource", "UntagResource", "ListTagsForResource")
MANAGEMENT = (
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


def _table(searches: float, stateless: float) -> dict[str, float]:
    groups = ((SEARCHES, searches), (STATELESS, stateless), (TAGS, 10.0), (MANAGEMENT, 5.0))
    return {operation: rate for operations, rate in groups for operation in operations}


LARGE_REGION, OTHER_REGION = _table(50, 100), _table(5, 25)


def read_rates(text: str) -> dict[str, float]:
    """Read the setting: `off`, `us-east-1` (the large regions), `other-region`, or `IndexFaces=5,SearchFaces=2`."""
    known = {"": {}, "off": {}, "us-east-1": LARGE_REGION, "other-region": OTHER_REGION}
    if text in known:
        return dict(known[text])
    try:
        rates = {name.strip(): float(rate) for name, rate in (pair.split("=") for pair in text.split(","))}
    except ValueError:
        rates = {}
    if not rates or not rates.keys() <= LARGE_REGION.keys() or not all(rate > 0 for rate in rates.values()):
        raise SetupError(
            "The rate limits must be off, us-east-1, other-region, or a list such as IndexFaces=5,SearchFaces=2."
        )
    return rates


class Rates:
    """Requests per second by operation; operations without a rate are free. `clock` gives seconds."""

    def __init__(self, rates: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = {operation: TokenBucket(rate, BURST_SECONDS, clock) for operation, rate in rates.items()}

    def take(self, operation: str) -> None:
        """Count one request. Raises WireError when it is one too many."""
        bucket = self._buckets.get(operation)
        if bucket is None:
            return
        refused = bucket.take()
        if refused > bucket.rate:
            raise WireError("ThrottlingException", SLOW_DOWN)
        if refused > 0:
            raise WireError("ProvisionedThroughputExceededException", "Provisioned Rate exceeded.")
