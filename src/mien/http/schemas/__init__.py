"""The JSON of the REST API; every model reads the domain value of the same meaning by its attributes."""

from mien.http.schemas.base import PATH, BoundingBox, Problem, Schema
from mien.http.schemas.people import Face, Faces, Finding, Findings, People, Person, PersonDetail, Receipt
from mien.http.schemas.recognition import (
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
from mien.http.schemas.service import Calibration, CalibrationPoint, Health
from mien.http.schemas.uploads import Form, FormRequest, Move, Remark, Upload

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
