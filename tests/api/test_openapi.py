"""The OpenAPI document is the committed one, and the API keeps to it whatever it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mien.api.api import create_api
from mien.api.openapi import document
from mien.app.app import FaceApp
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.settings import Settings
from tests.support.fake_engine import FakeFaceEngine

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def documented(engine: FakeFaceEngine) -> schemathesis.BaseSchema:
    app = FaceApp(MemoryBucket(), MemoryRecognizer(engine), MemoryCatalog())
    return schemathesis.openapi.from_asgi("/openapi.json", create_api(app, Settings()))


def _operations() -> Iterator[tuple[str, str, GenerationMode]]:
    for path, methods in json.loads(document())["paths"].items():
        for method, operation in methods.items():
            yield path, method, GenerationMode.POSITIVE
            in_query = any(parameter["in"] == "query" for parameter in operation.get("parameters", ()))
            if in_query or "requestBody" in operation:  # there is something to get wrong
                yield path, method, GenerationMode.NEGATIVE


def test_the_committed_document_is_current() -> None:
    committed = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert committed.read_text() == document(), "run: python -m mien.api.openapi > docs/openapi.json"


def test_every_route_has_a_sentence_and_stands_under_a_tag_that_is_explained() -> None:
    described = json.loads(document())
    explained = {tag["name"] for tag in described["tags"] if tag["description"]}
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert set(operation["tags"]) <= explained, path
            assert len(operation["summary"].split()) >= 3, operation["summary"]
            assert not operation["summary"].endswith("."), operation["summary"]


def test_every_example_is_of_its_schema_and_the_answers_of_objects_have_one() -> None:
    described = json.loads(document())
    schemas = described["components"]["schemas"]
    for schema in schemas.values():  # FastAPI leaves nulls out of examples
        fields = schema.get("properties", {})
        schema["required"] = [
            n for n in schema.get("required", ()) if {"type": "null"} not in fields[n].get("anyOf", ())
        ]
    for name, schema in schemas.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        for example in schema.get("examples", ()):
            jsonschema.Draft202012Validator(whole).validate(example)
    assert {name for name in _sent_and_answered(described) if not schemas[name].get("examples")} == set()


def _sent_and_answered(described: dict[str, Any]) -> set[str]:
    """The schemas of all JSON that is sent whole, is answered, or tells of an error."""
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    bodies = [answer for operation in operations for answer in operation["responses"].values()]
    bodies += [operation["requestBody"] for operation in operations if "requestBody" in operation]
    content = [kind for body in bodies for kind in body.get("content", {}).items()]
    references = {each["schema"].get("$ref", "") for name, each in content if name.endswith("json") and each}
    return {reference.rpartition("/")[2] for reference in references if reference}


def test_every_route_tells_its_errors_in_words() -> None:
    for path, methods in json.loads(document())["paths"].items():
        for operation in methods.values():
            refusals = {int(status): answer for status, answer in operation["responses"].items() if status >= "4"}
            assert {401, 403, 429, 500} <= refusals.keys(), path
            assert all(len(answer["description"].split()) >= 2 for answer in refusals.values()), path
            assert "{" not in path or {404, 422} <= refusals.keys(), path


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method", "mode"), list(_operations()))
def test_answers_keep_to_the_document(
    documented: schemathesis.BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    @given(case=documented[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    send()
