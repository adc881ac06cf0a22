"""The state of the service, and what similarities mean."""

from __future__ import annotations

from mien.http.schemas.base import Schema, Similarity, example


class Health(Schema):
    model_config = example(status="ok", version="0.1.0")
    status: str
    version: str


class CalibrationPoint(Schema):
    similarity: Similarity
    fmr: float


class Calibration(Schema):
    """How often two strangers reach a similarity; no points where the recogniser does not tell its rates."""

    points: list[CalibrationPoint]
    default_threshold: Similarity
