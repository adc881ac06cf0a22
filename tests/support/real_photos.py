"""Real photos of three people, to prove recognition with: the demo's, and the portrait in matplotlib.

All are works of the United States' government, in the public domain. The first come with face_recognition 1.3.0
(pinned by SHA-256, kept in the user's cache), the last with matplotlib, which the tests have anyway.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from platformdirs import user_cache_path

from mien.demo.photos import demo_photos

HOPPER_SHA256 = "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130"
NOSES = {
    "biden.jpg": (591, 414),
    "obama.jpg": (490, 272),
    "obama2.jpg": (281, 450),
    "obama3.jpg": (806, 448),
    "obama_partial_face.jpg": (63, 272),
    "obama_partial_face2.jpg": (499, 273),
    "grace_hopper.jpg": (264, 236),
}
"""Where the tip of the nose is, x and y in pixels, looked up by eye; nobody else's face is in these photos."""


@dataclass(frozen=True)
class RealPhotos:
    """JPEG files; the first of a person is the easiest."""

    obama: tuple[Path, ...]
    biden: Path
    hopper: Path

    def __iter__(self) -> Iterator[Path]:
        yield from (*self.obama, self.biden, self.hopper)


def hopper() -> Path:
    """The portrait that needs no network."""
    photo = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    if hashlib.sha256(photo.read_bytes()).hexdigest() != HOPPER_SHA256:
        raise ValueError(f"{photo} is another photo than the one that the tests know.")
    return photo


def fetch() -> RealPhotos:
    """The photos, fetched at the first use; several processes may ask. SetupError when they cannot be had."""
    cache = user_cache_path("mien") / "demo"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        photos = {photo.name: photo for photo in demo_photos(cache)}
    obama = tuple(photo for name, photo in photos.items() if name.startswith("obama"))
    return RealPhotos(obama, photos["biden.jpg"], hopper())
