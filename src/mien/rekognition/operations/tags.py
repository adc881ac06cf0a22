"""Tags of a collection, which is named by its ARN."""

from __future__ import annotations

from typing import Any

from mien.rekognition.service import Call, Service


def tag_resource(service: Service, call: Call) -> dict[str, Any]:
    service.gallery.tag(call.collection_id, call.params["Tags"])
    return {}


def untag_resource(service: Service, call: Call) -> dict[str, Any]:
    service.gallery.untag(call.collection_id, call.params["TagKeys"])
    return {}


def list_tags_for_resource(service: Service, call: Call) -> dict[str, Any]:
    return {"Tags": service.gallery.tags(call.collection_id)}
