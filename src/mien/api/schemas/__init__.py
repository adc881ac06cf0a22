"""The JSON of the REST API; every model reads the domain value of the same meaning by its attributes."""

from mien.api.schemas.base import PATH, BoundingBox, Calibration, CalibrationPoint, Health, Problem, Schema
from mien.api.schemas.people import Face, Faces, Finding, Findings, People, Person, PersonDetail, Receipt
from mien.api.schemas.recognition import (
    Candidate,
    Comparison,
    Comparisons,
    Detection,
    Detections,
    Landmarks,
    Point,
    Pose,
    Quality,
    Recognition,
    Recognitions,
    RecognizedFace,
)
from mien.api.schemas.uploads import Form, FormRequest, Move, Remark, Upload

__all__ = [
    "PATH",
    "BoundingBox",
    "Calibration",
    "CalibrationPoint",
    "Candidate",
    "Comparison",
    "Comparisons",
    "Detection",
    "Detections",
    "Face",
    "Faces",
    "Finding",
    "Findings",
    "Form",
    "FormRequest",
    "Health",
    "Landmarks",
    "Move",
    "People",
    "Person",
    "PersonDetail",
    "Point",
    "Pose",
    "Problem",
    "Quality",
    "Receipt",
    "Recognition",
    "Recognitions",
    "RecognizedFace",
    "Remark",
    "Schema",
    "Upload",
]
