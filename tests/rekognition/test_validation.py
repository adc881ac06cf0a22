"""Types and constraints of requests, and AWS's wording for what is wrong with them."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.rekognition.errors import WireError
from mien.rekognition.operations import OPERATIONS
from mien.rekognition.parsing import operation_model, parse
from mien.rekognition.validation import validate

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def read(operation, given_):
    shape = operation_model(operation).input_shape
    params = parse(shape, given_)
    validate(shape, params)
    return params


def refusal(operation, given_):
    with pytest.raises(WireError) as caught:
        read(operation, given_)
    return caught.value


def test_a_good_request_becomes_python_values():
    given_ = {
        "CollectionId": "friends",
        "Image": {"Bytes": base64.b64encode(b"photo").decode()},
        "MaxFaces": 3,
        "ExternalImageId": None,
        "Unknown": [1],
    }
    assert read("IndexFaces", given_) == {"CollectionId": "friends", "Image": {"Bytes": b"photo"}, "MaxFaces": 3}


@pytest.mark.parametrize(
    ("operation", "given_", "words"),
    [
        ("CreateCollection", {}, "Value null at 'collectionId' failed to satisfy constraint: Member must not be null"),
        ("CreateCollection", {"CollectionId": "a" * 256}, "Member must have length less than or equal to 255"),
        (
            "CreateCollection",
            {"CollectionId": "two words"},
            "Value 'two words' at 'collectionId' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [a-zA-Z0-9_.\-]+",
        ),
        ("CreateCollection", {"CollectionId": "line\n"}, "regular expression"),
        ("SearchFaces", {"FaceMatchThreshold": 101}, "at 'faceMatchThreshold'"),
        ("SearchFaces", {"FaceMatchThreshold": 101}, "Member must have value less than or equal to 100"),
        ("IndexFaces", {"QualityFilter": "BEST"}, "enum value set: [NONE, AUTO, LOW, MEDIUM, HIGH]"),
        ("IndexFaces", {"DetectionAttributes": ["HAT"]}, "Value '[HAT]' at 'detectionAttributes'"),
        ("SearchUsers", {"MaxUsers": 501}, "less than or equal to 500"),
        ("AssociateFaces", {"FaceIds": ["0" * 8 + "-0000" * 3 + "-" + "0" * 12] * 101}, "'faceIds'"),
        ("DeleteFaces", {"FaceIds": []}, "Member must have length greater than or equal to 1"),
        ("DeleteFaces", {"FaceIds": ["X"]}, "[0-9a-f]{8}"),
        ("DetectFaces", {"Image": {"Bytes": ""}}, "'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'image.bytes'"),
        ("DetectFaces", {"Image": {"S3Object": {"Bucket": "b"}}}, "'image.s3Object.bucket'"),
        ("CreateCollection", {"CollectionId": "a", "Tags": {"aws:x": "y"}}, "Map keys must satisfy constraint"),
        ("CreateCollection", {"CollectionId": "a", "Tags": {"x": "y#"}}, "Map value must satisfy constraint"),
        ("CreateCollection", {"CollectionId": "a", "Tags": {str(n): "" for n in range(201)}}, "equal to 200"),
    ],
)
def test_a_violated_constraint_has_awss_wording(operation, given_, words):
    error = refusal(operation, given_)
    assert error.code == "ValidationException"
    assert words in error.message


def test_all_violations_are_listed_at_once():
    error = refusal("SearchFaces", {"CollectionId": "!", "FaceMatchThreshold": -1})
    assert error.message.startswith("3 validation errors detected: Value '!' at 'collectionId'")
    assert error.message.count("; Value ") == 2


def test_the_log_gets_the_rules_but_not_the_values():
    assert "private name" not in refusal("CreateCollection", {"CollectionId": "private name"}).cause


def test_one_byte_over_five_megabytes_is_too_many():
    photo = {"Image": {"Bytes": base64.b64encode(bytes(5_242_881)).decode()}}
    assert "less than or equal to 5242880" in refusal("DetectFaces", photo).message
    photo = {"Image": {"Bytes": base64.b64encode(bytes(5_242_880)).decode()}}
    assert len(read("DetectFaces", photo)["Image"]["Bytes"]) == 5_242_880


@pytest.mark.parametrize("value", ["Jörg Müller", "東京 1", "a_b.c:d/e=f+g-h@i", ""])
def test_tags_may_hold_letters_of_every_script(value):
    assert read("CreateCollection", {"CollectionId": "a", "Tags": {"k": value}})["Tags"] == {"k": value}


@pytest.mark.parametrize(
    ("operation", "given_"),
    [
        ("CreateCollection", {"CollectionId": 7}),
        ("CreateCollection", {"CollectionId": ["a"]}),
        ("CreateCollection", {"Tags": "x"}),
        ("SearchFaces", {"MaxFaces": "3"}),
        ("SearchFaces", {"MaxFaces": 1.5}),
        ("SearchFaces", {"MaxFaces": True}),
        ("SearchFaces", {"FaceMatchThreshold": 10**400}),
        ("DeleteFaces", {"FaceIds": [None]}),
        ("DetectFaces", {"Image": "bytes"}),
        ("DetectFaces", {"Image": {"Bytes": "no base64!"}}),
        ("DetectFaces", {"Image": {"Bytes": "YWJj\nYWJj"}}),
        ("DetectFaces", {"Image": {"Bytes": "äöü"}}),
    ],
)
def test_a_wrong_json_type_is_a_serialization_error(operation, given_):
    assert refusal(operation, given_).code == "SerializationException"


@settings(max_examples=300)
@given(operation=st.sampled_from(sorted(OPERATIONS)), data=st.data())
def test_any_json_is_read_or_refused_and_nothing_else_happens(operation, data):
    members = st.sampled_from(sorted(operation_model(operation).input_shape.members))
    given_ = data.draw(st.dictionaries(members, JSON, max_size=4))
    with contextlib.suppress(WireError):
        read(operation, given_)
