"""Limit what a photo may cost, before memory is taken."""

from __future__ import annotations

from dataclasses import dataclass

from mien.domain.errors import ImageTooLarge

WORKING_PIXELS = 36_000_000
"""Pixels to which a larger photo is reduced when it is decoded: 108 MB."""

QUICK_SECONDS = 0.04
"""Up to which estimate a photo never waits for a core: most portraits, and photos of up to about five megapixels."""

ORDINARY_SECONDS = 0.2
ORDINARY_BYTES = 160 * 1024 * 1024
"""Up to which estimates a photo is ordinary."""

DECODER_MEMORY = 64 * 1024 * 1024
"""What a process that decodes may take at least, however small its photo."""

PROCESS_MEMORY = 64 * 1024 * 1024
"""What such a process takes beside that: the interpreter, libraries, and what allocators round up."""

RGB_BYTES = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Which images are accepted.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width times height at the scale at which the file may be decoded. Most JPEGs can be decoded at half
            their sides, so they may be four times as large.
        max_memory: bytes that the decoder may take, the decoded photo included. Formats that cannot be decoded at a
            reduced scale may have fewer pixels for it.
        max_seconds: processor time of the decoder, where it runs in a process of its own.
        min_side: pixels of the shorter side.
    """

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 89_000_000
    max_memory: int = 340 * 1024 * 1024
    max_seconds: float = 1.7
    min_side: int = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """What a photo is estimated to cost at most.

    Attributes:
        memory: bytes of the decoder and the decoded photo.
        seconds: processor time of one decoding on a core of a server.
        beside: bytes of a process of its own, and of the pixels on their way from it; 0 in the caller's thread.
    """

    memory: int
    seconds: float
    beside: int = 0

    @property
    def is_ordinary(self) -> bool:
        return self.seconds <= ORDINARY_SECONDS and self.memory <= ORDINARY_BYTES

    @property
    def is_isolated(self) -> bool:
        """Whether the photo is decoded by a process of its own."""
        return self.beside > 0

    @property
    def is_quick(self) -> bool:
        return self.seconds <= QUICK_SECONDS and self.is_ordinary and not self.is_isolated

    def isolated(self, pixels: int) -> Cost:
        """Return the cost of decoding so many pixels by a process of its own."""
        kept = RGB_BYTES * min(pixels, WORKING_PIXELS)
        return Cost(max(self.memory, DECODER_MEMORY), self.seconds, PROCESS_MEMORY + kept)


def refuse_above(name: str, found: float, limit: float, what: str) -> None:
    """Raise ImageTooLarge when a photo has more of something than is accepted.

    Args:
        name: the limit's name, for programs.
        found: how much there is.
        limit: how much there may be.
        what: the same in words, such as "scans".
    """
    if found > limit:
        raise ImageTooLarge(f"The photo has {found:,} {what}; at most {limit:,} are accepted.", name)
