"""Walk through a deployed stage as the deployment's test asks: a photo, its event, a recognition, an erasure.

Everything that the walk stores belongs to a person of its own, and is gone at the end, also after a failure.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from mien.backends.aws import clients, outputs
from mien.backends.aws.secret_keys import edit_keys
from mien.backends.aws.stack import open_app
from mien.domain.errors import MienError, NotFound, SetupError, StorageError
from mien.domain.records import UploadStatus
from mien.security.api_keys import Scope, key_id_of

if TYPE_CHECKING:
    from mien.settings import Settings

PATIENCE_SECONDS, POLL_SECONDS = 360.0, 2.0
UNAUTHORIZED = {401, 403}  # until the functions have read the new key
CALL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Photos:
    """JPEG files: two photos of one person, and one of somebody else."""

    enrolled: bytes
    again: bytes
    stranger: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the walk, and what was seen, or why it failed."""

    title: str
    passed: bool
    seen: str
    seconds: float


@dataclass
class Walk:
    """The state of one walk. The person's id is random, so that two walks do not meet."""

    settings: Settings
    photos: Photos
    api_url: str
    person: str = field(default_factory=lambda: f"smoke-{uuid.uuid4().hex[:8]}")
    key: str = ""
    face_id: str = ""
    recognition_id: str = ""

    @property
    def path(self) -> str:
        return f"uploaded/{self.person}/enrolled.jpg"

    @property
    def probe(self) -> str:
        return f"uploaded/_/{self.person}.jpg"

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "create an API key", self._create_key
        yield "copy a photo into the bucket", lambda: self._put(self.path, self.photos.enrolled)
        yield "its event has it indexed", lambda: self._indexed(self.path)
        yield "its face is in the collection", self._in_collection
        yield "its metadata is in the table", self._in_table
        yield "copy another photo into the bucket", lambda: self._put(self.probe, self.photos.again)
        yield "GET /recognize names the person", self._recognize_stored
        yield "the result is stored", self._result_stored
        yield "POST /recognize does not name a stranger so", self._recognize_stranger
        yield "DELETE /users erases the person", self._erase
        yield "nothing of the person is left", self._nothing_left

    def clean_up(self) -> None:
        """Remove what the walk stored, as far as it is still there."""
        with open_app(self.settings) as app, suppress(NotFound):
            app.forget(self.person)
        clients.s3().delete_object(Bucket=self.settings.bucket, Key=self.probe)
        if self.key:
            with edit_keys(self._secret) as file:
                file.revoke(key_id_of(self.key))
            self.key = ""

    @property
    def _secret(self) -> str:
        if self.settings.keys_secret is None:
            raise SetupError("The stack has no secret for API keys; deploy it again.")
        return self.settings.keys_secret

    def _create_key(self) -> str:
        with edit_keys(self._secret) as file:
            self.key = file.create(self.person, list(Scope))
        return f"key {key_id_of(self.key)}, which is revoked at the end"

    def _put(self, path: str, photo: bytes) -> str:
        clients.s3().put_object(Bucket=self.settings.bucket, Key=path, Body=photo, ContentType="image/jpeg")
        return f"s3://{self.settings.bucket}/{path}, {len(photo):,} bytes"

    def _indexed(self, path: str) -> str:
        with open_app(self.settings) as app:

            def status() -> Any:
                try:
                    found = app.upload_status(path)
                except NotFound:
                    return None
                return None if found.status is UploadStatus.PENDING else found

            upload = _until(status, "The event did not arrive, or no function works on it; see the queue's alarms.")
        if upload.status is not UploadStatus.INDEXED or not upload.face_ids:
            raise StorageError(f"The photo is {upload.status}: {'; '.join(map(str, upload.reasons))}")
        self.face_id = upload.face_ids[0]
        return f"{upload.status}, face {self.face_id}"

    def _in_collection(self) -> str:
        if self._face() is None:
            raise StorageError(f"{self.settings.collection} does not have the face {self.face_id}.")
        return f"{self.settings.collection} has {self.face_id}"

    def _in_table(self) -> str:
        item = self._item(self.settings.faces_table, "FaceId", self.face_id)
        if item is None or (item["UserId"]["S"], item["ImagePath"]["S"]) != (self.person, self.path):
            raise StorageError(f"{self.settings.faces_table} does not have the face with its person and photo.")
        return ", ".join(f"{name} {item[name]['S']}" for name in ("FaceId", "UserId", "ImagePath", "Timestamp"))

    def _recognize_stored(self) -> str:
        answer = self._authorized("GET", f"/recognize?image_path={quote(self.probe)}")
        named = [face.get("user_id") for face in answer["faces"] if face["status"] == "matched"]
        if named != [self.person]:
            raise StorageError(f"The answer names {named or 'nobody'}. Is this person enrolled already?")
        self.recognition_id = answer["recognition_id"]
        return f"{self.person}, similarity {answer['faces'][0]['similarity']:.1f}"

    def _result_stored(self) -> str:
        item = self._item(self.settings.recognitions_table, "RecognitionId", self.recognition_id)
        if item is None:
            raise StorageError(f"{self.settings.recognitions_table} does not have {self.recognition_id}.")
        return f"{self.settings.recognitions_table} has {self.recognition_id}"

    def _recognize_stranger(self) -> str:
        answer = self._authorized("POST", "/recognize?store=false", self.photos.stranger)
        if self.person in [face.get("user_id") for face in answer["faces"] if face["status"] == "matched"]:
            raise StorageError("The stranger was taken for the person; raise the threshold.")
        return f"{len(answer['faces'])} face, not {self.person}"

    def _erase(self) -> str:
        answer = self._authorized("DELETE", f"/users/{self.person}")
        return f"receipt {answer.get('erasure_id', '')}".strip()

    def _nothing_left(self) -> str:
        def is_gone() -> bool:
            return (
                self._face() is None
                and self._item(self.settings.faces_table, "FaceId", self.face_id) is None
                and self._item(self.settings.recognitions_table, "RecognitionId", self.recognition_id) is None
                and not self._has_photo()
            )

        _until(is_gone, f"Something of {self.person} is left; `mien verify-erased {self.person}` tells what.")
        return "no face in the collection, no item in the tables, no photo in the bucket"

    def _face(self) -> Any:
        client = clients.rekognition(self.settings.rekognition_keys_secret)
        faces = client.list_faces(CollectionId=self.settings.collection, FaceIds=[self.face_id])["Faces"]
        return faces[0] if faces else None

    def _item(self, table: str, key: str, value: str) -> Any:
        found = clients.dynamodb().get_item(TableName=table, Key={key: {"S": value}}, ConsistentRead=True)
        return found.get("Item")

    def _has_photo(self) -> bool:
        found = clients.s3().list_objects_v2(Bucket=self.settings.bucket, Prefix=self.path)
        return bool(found["KeyCount"])

    def _authorized(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Call the API until it knows the key."""
        return _until(lambda: self._call(method, path, body), "The API does not accept the key.")

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        base, host = _address(self.api_url)
        headers = {"X-Api-Key": self.key, "Content-Type": "image/jpeg", **host}
        request = Request(base + path, body, headers, method=method)  # noqa: S310
        try:
            with urlopen(request, timeout=CALL_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except HTTPError as error:
            if error.code in UNAUTHORIZED:
                return None
            raise StorageError(f"The API answered {error.code} to {method} {path.partition('?')[0]}.") from error
        except URLError as error:
            raise StorageError(f"The API cannot be reached at {base}.") from error


def walk(settings: Settings, photos: Photos) -> Iterator[Step]:
    """Yield the steps as they end; the first that fails is the last.

    Raises SetupError when the stack has no API.
    """
    api_url = outputs.outputs(str(settings.stack)).get("ApiUrl")
    if api_url is None:
        raise SetupError(f"The stack {settings.stack} has no output ApiUrl.")
    tour = Walk(settings, photos, api_url)
    try:
        for title, take in tour.steps():
            begun = time.monotonic()
            try:
                with clients.domain_errors():
                    seen, passed = take(), True
            except MienError as error:
                seen, passed = str(error), False
            yield Step(title, passed, seen, time.monotonic() - begun)
            if not passed:
                return
    finally:
        tour.clean_up()


def _until(ask: Callable[[], Any], otherwise: str) -> Any:
    """Return the first answer that is not empty. Raises StorageError after the patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise StorageError(otherwise)
        time.sleep(POLL_SECONDS)
    return answer


def _address(api_url: str) -> tuple[str, dict[str, str]]:
    """Return where the API answers, and the headers that it needs there: an emulator tells APIs apart by host name."""
    emulator = os.environ.get("AWS_ENDPOINT_URL")
    if not emulator:
        return api_url, {}
    parts = urlsplit(api_url)
    return emulator + parts.path, {"Host": f"{parts.netloc.partition('.')[0]}.execute-api.localhost"}
