"""The operations that remember nothing: DetectFaces and CompareFaces."""

from __future__ import annotations

from typing import Any

import numpy as np

from mien.engine import Face
from mien.engine.quality import reasons, select
from mien.gallery.similarity import similarity
from mien.model import QualityFilter
from mien.rekognition.details import bounding_box, compared_face, face_detail, float32
from mien.rekognition.errors import invalid
from mien.rekognition.service import Call, Service

THRESHOLD = 80.0


def detect_faces(service: Service, call: Call) -> dict[str, Any]:
    """Whatever Attributes asks for, the answer holds the DEFAULT ones: there is no model for the others."""
    faces = service.engine.detect(service.image(call.params["Image"]))
    return {"FaceDetails": [face_detail(face) for face in faces]}


def compare_faces(service: Service, call: Call) -> dict[str, Any]:
    """The source's largest face against every face of the target, each in exactly one of the two lists."""
    level = call.quality_filter(QualityFilter.NONE)
    source_image, target_image = (service.image(call.params[name]) for name in ("SourceImage", "TargetImage"))
    sources, targets = service.engine.read(source_image), service.engine.read(target_image)
    if not sources or reasons(sources[0], level):
        raise invalid("The source image has no face that passes the filter.")
    if not targets:
        raise invalid("The target image has no face.")
    source, (passed, _) = sources[0], select(targets, level)
    scored = sorted(((_alike(source, face), face) for face in passed), key=lambda pair: pair[0], reverse=True)
    threshold = call.params.get("SimilarityThreshold", THRESHOLD)
    return {
        "SourceImageFace": {
            "BoundingBox": bounding_box(source.box),
            "Confidence": float32(source.confidence),
        },
        "FaceMatches": [
            {"Similarity": float32(score), "Face": compared_face(face)} for score, face in scored if score >= threshold
        ],
        "UnmatchedFaces": [compared_face(face) for score, face in scored if score < threshold],
    }


def _alike(one: Face, other: Face) -> float:
    return float(similarity(np.asarray(one.embedding @ other.embedding)))
