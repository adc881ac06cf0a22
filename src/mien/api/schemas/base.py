"""Define what all JSON models have in common, and the models of errors, boxes and the service's health."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

Similarity = Annotated[float, Field(ge=0, le=100)]

PATH = "uploaded/Alice/6a0f3c1d9b7e4f52a8c3d0e1f2a4b5c6.jpg"
FACE_ID = "2f1c6d0e-0b7d-5a55-9d3e-6f0b5c9f8f11"
BOX = {"left": 0.31, "top": 0.22, "width": 0.28, "height": 0.41}


class Schema(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def from_each(cls, values: Iterable[object]) -> list[Self]:
        """Convert domain values, each by its attributes of the same names."""
        return [cls.model_validate(value) for value in values]


def example(**values: Any) -> ConfigDict:
    """Make a model's configuration with an example for the OpenAPI document."""
    return ConfigDict(from_attributes=True, json_schema_extra={"examples": [values]})


class Problem(Schema):
    """An error, as a problem document (RFC 9457)."""

    model_config = example(
        type="urn:mien:user-not-found",
        title="Not Found",
        status=404,
        detail="Nobody is enrolled under this user id.",
        request_id="5d7e0d1c",
    )
    type: str
    title: str
    status: int
    detail: str
    request_id: str


class BoundingBox(Schema):
    """A face's box, in fractions of the upright photo's width and height. It may extend beyond the photo's edges."""

    model_config = example(**BOX)
    left: float
    top: float
    width: float
    height: float


class Health(Schema):
    model_config = example(status="ok", version="0.1.0", warnings=[])
    status: str
    version: str
    warnings: list[str] = []


class CalibrationPoint(Schema):
    similarity: Similarity
    fmr: float


class Calibration(Schema):
    """The false match rate (FMR) at each similarity; `points` is empty where the recogniser publishes no rates."""

    points: list[CalibrationPoint]
    default_threshold: Similarity
