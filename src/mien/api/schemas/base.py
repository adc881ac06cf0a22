"""Define what all JSON models have in common, and the models of errors, boxes, health and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mien.domain.dates import parse_day, parse_moment
from mien.domain.errors import InvalidInput

Similarity = Annotated[float, Field(ge=0, le=100)]

PATH = "uploaded/Alice/6a0f3c1d9b7e4f52a8c3d0e1f2a4b5c6.jpg"
FACE_ID = "2f1c6d0e-0b7d-5a55-9d3e-6f0b5c9f8f11"
BOX = {"left": 0.31, "top": 0.22, "width": 0.28, "height": 0.41}


def _written(parse: Callable[[str], date]) -> BeforeValidator:
    """Read a date of a request only as it is written, in text: Pydantic would take numbers, too."""

    def read(value: object) -> date:
        try:
            return parse(value if isinstance(value, str) else "")
        except InvalidInput as error:
            raise ValueError(str(error).removesuffix(".")) from None

    return BeforeValidator(read)


Day = Annotated[date, _written(parse_day)]
Moment = Annotated[datetime, _written(parse_moment)]


class Schema(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def from_each(cls, values: Iterable[object]) -> list[Self]:
        """Convert domain values, each by its attributes of the same names."""
        return [cls.model_validate(value) for value in values]


def example(**values: Any) -> ConfigDict:
    """Make a model's configuration with an example for the OpenAPI document."""
    return ConfigDict(from_attributes=True, json_schema_extra={"examples": [values]})


def example_of(model: type[Schema]) -> dict[str, Any]:
    """Return the example of a model, as a part of another's."""
    extra: Any = model.model_config["json_schema_extra"]
    example: dict[str, Any] = extra["examples"][0]
    return example


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
    limit: str | None = None


class BoundingBox(Schema):
    """A face's box, in fractions of the upright photo's width and height. It may extend beyond the photo's edges."""

    model_config = example(**BOX)
    left: float
    top: float
    width: float
    height: float


class HealthRemark(Schema):
    """A warning: `parameters` are what varies in its message, such as `count`."""

    code: str
    message: str
    parameters: dict[str, str | int]


class Health(Schema):
    model_config = example(status="ok", version="0.1.0", warnings=[], remarks=[])
    status: str
    version: str
    warnings: list[str] = []
    remarks: list[HealthRemark] = []


class SamplePerson(Schema):
    name: str
    photos: list[str]


class Samples(Schema):
    """Photos for a first try, by person."""

    model_config = example(people=[{"name": "Barack Obama", "photos": ["obama.jpg", "obama2.jpg"]}])
    people: list[SamplePerson]


class System(Schema):
    """The installation.

    `data_dir` and `free_bytes` (of its disk) are null on AWS, `free_bytes` also before the folder is made; `threshold`
    is the default one.
    """

    model_config = example(
        version="0.1.0", data_dir="/var/lib/mien", free_bytes=51200000000, threshold="auto", requires_key=True
    )
    version: str
    data_dir: str | None
    free_bytes: int | None
    threshold: str
    requires_key: bool


class CalibrationPoint(Schema):
    similarity: Similarity
    fmr: float


class Calibration(Schema):
    """The false match rate (FMR) at each similarity; `points` is empty where the recogniser publishes no rates."""

    model_config = example(
        points=[{"similarity": 80.0, "fmr": 0.0001}, {"similarity": 99.0, "fmr": 0.000001}], default_threshold=80.0
    )
    points: list[CalibrationPoint]
    default_threshold: Similarity


class AuditEntry(Schema):
    """Who did what, with what outcome; `persons` are pseudonyms, the same for the same person in all entries."""

    model_config = example(
        sequence=1287,
        time="2026-11-27T09:15:02.114503Z",
        actor="key 1a2b3c4d",
        action="recognize",
        outcome="done",
        model="sface-2-fb143eea0783",
        threshold=80.0,
        key_id=None,
        counts={"faces": 2, "matched": 1, "photos": 1, "unknown": 1},
        persons=["6d2f0c5b6a3f4e0b9a1f7e5c2d4b8a90"],
        previous="0c3f6f4f2b1f4c0f9b6f1d4a7f5e2b9c8d7a6e5f4c3b2a190807060504030201",
    )
    sequence: int
    time: str
    actor: str
    action: str
    outcome: str
    model: str | None
    threshold: float | None
    key_id: str | None
    counts: dict[str, int]
    persons: list[str]
    previous: str


class AuditEntries(Schema):
    model_config = example(entries=[example_of(AuditEntry)], next_cursor=None)
    entries: list[AuditEntry]
    next_cursor: str | None
