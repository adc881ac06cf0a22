"""Chain the audit log: each entry holds the SHA-256 of the entry before, so that a gap or a change shows.

Two marks hold the ends: the head names the last entry, so that a missing end shows; the checkpoint names the last entry
that retention has removed, so that the first one left has something to follow. Both carry an HMAC with the
installation's secret. Whoever has that secret can write another history, and so can whoever puts back an old copy of
the whole log, marks and all: keep exports elsewhere where that matters.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mien.security.signing import Signer

HEAD = "head"
CHECKPOINT = "checkpoint"
START = "0" * 64
"""What the first entry of a log holds in place of a hash."""

_encode = json.JSONEncoder(separators=(",", ":")).encode

UNKNOWN = ""
"""What an entry holds when the head that it should follow was not in order: the break stays visible."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An end of the chain: the number and the SHA-256 of an entry, and the HMAC over both."""

    name: str
    sequence: int
    digest: str
    mac: str

    def is_valid(self, signer: Signer) -> bool:
        """Return whether the mark was made with the signer's secret."""
        return hmac.compare_digest(self.mac, sign(signer, self.name, self.sequence, self.digest).mac)


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain is broken: the number of the entry, and what is wrong there."""

    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """Some consecutive entries, with their numbers, and the marks of the log, as they were at one moment.

    Attributes:
        items: The entries, as they are stored; after those of the part before, if retention has not removed them.
        checkpoint: What comes before the first entry of the log; None when the mark is missing.
        head: What the last entry of the log has to be; None when the mark is missing.
    """

    items: Sequence[tuple[int, str]]
    checkpoint: Mark | None
    head: Mark | None


def sign(signer: Signer, name: str, sequence: int, digest: str) -> Mark:
    """Make a mark, `HEAD` or `CHECKPOINT`, at an entry."""
    mac = signer.mac(f"{name} of the audit log", f"{sequence} {digest}".encode()).hex()
    return Mark(name, sequence, digest, mac)


def digest_of(item: str) -> str:
    """Return the SHA-256 of an entry as it is written."""
    return hashlib.sha256(item.encode()).hexdigest()


def write_item(sequence: int, time: str, facts: dict[str, Any], previous: str) -> str:
    """Write an entry as one line of JSON."""
    return _encode({"sequence": sequence, "time": time, **facts, "previous": previous})


def breaks(parts: Iterable[Part], signer: Signer) -> Iterator[Break]:
    """Find where the chain is broken; nothing when it is whole.

    Args:
        parts: The whole log, in the order of the numbers; the last part goes to the end of the log of its moment.
        signer: Holds the installation's secret.
    """
    last, digest, head = 0, START, None
    checkpoints: set[Mark | None] = set()
    for part in parts:
        checkpoint, head = part.checkpoint, part.head
        if checkpoint not in checkpoints and (checkpoint is None or not checkpoint.is_valid(signer)):
            yield Break(checkpoint.sequence if checkpoint else 0, "The mark of what retention removed was changed.")
        if checkpoint is not None and (not checkpoints or checkpoint.sequence > last):
            last, digest = checkpoint.sequence, checkpoint.digest
        checkpoints.add(checkpoint)
        for sequence, item in part.items:
            yield from _breaks_at(sequence, item, last, digest)
            last, digest = sequence, digest_of(item)
    if head is None or not head.is_valid(signer):
        yield Break(last, "The mark of the last entry was changed.")
    elif head.sequence > last:
        yield Break(last + 1, _missing(last + 1, head.sequence, ", at the end,"))
    elif (head.sequence, head.digest) != (last, digest):
        yield Break(last, f"Entry {last} was changed, or was not written by Mien.")


def _missing(first: int, last: int, where: str = "") -> str:
    if first == last:
        return f"Entry {first}{where} is missing."
    return f"The entries {first} to {last}{where} are missing."


def _breaks_at(sequence: int, item: str, last: int, digest: str) -> Iterator[Break]:
    try:
        content = json.loads(item)
        own, previous = content["sequence"], content["previous"]
    except (ValueError, KeyError, TypeError):
        yield Break(sequence, f"Entry {sequence} cannot be read.")
        return
    if own != sequence:
        yield Break(sequence, f"Entry {sequence} was changed: it says that it is entry {own}.")
    if sequence != last + 1:
        yield Break(last + 1, _missing(last + 1, sequence - 1))
    elif previous != digest:
        yield Break(sequence, f"Entry {last} was changed, or entry {sequence} does not follow it.")
