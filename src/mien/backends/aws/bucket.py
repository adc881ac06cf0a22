"""Keep the photos in S3. S3 itself sends the object-created events; infra/data.yaml routes them to the function."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any
from urllib.parse import quote, unquote

from botocore.exceptions import ClientError

from mien.app.ports import SIGNED_AT
from mien.backends.aws.clients import batches, code, domain_errors
from mien.domain.errors import ImageNotFound, ImageTooLarge, StorageError
from mien.domain.results import Image, UploadForm

MAX_SINGLE_LISTINGS = 5
DELETE_BATCH = 1000


class S3Bucket:
    """The bucket port on S3: each image is an object."""

    def __init__(self, client: Any, name: str, max_bytes: float = inf) -> None:
        """Use a bucket that exists.

        Args:
            client: A boto3 client of S3.
            name: The bucket.
            max_bytes: The size of an image up to which `get` reads it; above, it raises ImageTooLarge. Anybody with the
                right to write into the bucket may put files there which would fill a function's memory.
        """
        self._s3, self._name, self._max_bytes = client, name, max_bytes

    def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        with domain_errors():
            self._s3.put_object(
                Bucket=self._name,
                Key=key,
                Body=body,
                ContentType=content_type,
                Metadata={name: quote(value) for name, value in metadata.items()},  # S3 takes ASCII only
            )

    def get(self, key: str) -> Image:
        with domain_errors():
            try:
                response = self._s3.get_object(Bucket=self._name, Key=key)
            except ClientError as error:
                if code(error) == "NoSuchKey":
                    raise ImageNotFound("There is no photo under this path.") from error
                raise
            if response["ContentLength"] > self._max_bytes:
                response["Body"].close()
                raise ImageTooLarge(f"The photo has more than {self._max_bytes:,} bytes.")
            metadata = {name: unquote(value) for name, value in response["Metadata"].items()}
            return Image(response["Body"].read(), response["ContentType"], metadata)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """List as the port says, in the order of the keys' bytes; only keys that come after `after`."""
        with domain_errors():
            more = {"StartAfter": after} if after else {}
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix, **more)
            for page in pages:
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def delete(self, keys: Sequence[str]) -> int:
        # The versions are listed key by key, or for a whole folder when many of its keys go.
        folders: dict[str, set[str]] = defaultdict(set)
        for key in keys:
            folders[key.rpartition("/")[0] + "/"].add(key)
        with domain_errors():
            return sum(
                self._delete_versions(prefix, in_folder)
                for folder, in_folder in folders.items()
                for prefix in ([folder] if len(in_folder) > MAX_SINGLE_LISTINGS else sorted(in_folder))
            )

    def delete_remains(self, key: str) -> None:
        with domain_errors():
            versions = [version for version in self._versions(key) if version["Key"] == key]
            if not any(version["IsLatest"] and "ETag" in version for version in versions):
                self._delete_each(versions)

    def delete_folder(self, prefix: str) -> int:
        with domain_errors():
            versions = list(self._versions(prefix))
            self._delete_each(versions)
        return len({version["Key"] for version in versions})

    def stored_at(self, key: str) -> datetime | None:
        with domain_errors():
            listed = self._s3.list_objects_v2(Bucket=self._name, Prefix=key, MaxKeys=1).get("Contents", ())
        moments: list[datetime] = [entry["LastModified"] for entry in listed if entry["Key"] == key]
        return moments[0] if moments else None

    def holds(self, prefix: str) -> bool:
        with domain_errors():
            return next(self._versions(prefix), None) is not None

    def presign(self, key: str, content_type: str, max_bytes: int, expires_in: int) -> UploadForm:
        now = datetime.now(UTC)
        fields = {"Content-Type": content_type, f"x-amz-meta-{SIGNED_AT}": now.isoformat()}
        exactly = [{name: value} for name, value in fields.items()]
        with domain_errors():
            form = self._s3.generate_presigned_post(
                self._name,
                key,
                Fields=fields,
                Conditions=[*exactly, ["content-length-range", 1, max_bytes]],
                ExpiresIn=expires_in,
            )
        return UploadForm(form["url"], form["fields"], key, now + timedelta(seconds=expires_in))

    def link(self, key: str, content_type: str, expires_in: int) -> str | None:
        answer = {"ResponseContentType": content_type, "ResponseCacheControl": "private, no-store"}
        asked = {"Bucket": self._name, "Key": key, **answer}
        with domain_errors():
            url: str = self._s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=expires_in)
        return url

    def _delete_versions(self, prefix: str, keys: set[str]) -> int:
        is_wanted = keys.__contains__ if prefix.endswith("/") else prefix.__eq__
        versions = [version for version in self._versions(prefix) if is_wanted(version["Key"])]
        self._delete_each(versions)
        return len({version["Key"] for version in versions})

    def _versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        """List objects and delete markers with all their versions; only an object has an ETag."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._name, Prefix=prefix):
            yield from page.get("Versions", ())
            yield from page.get("DeleteMarkers", ())

    def _delete_each(self, versions: Sequence[dict[str, Any]]) -> None:
        objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions]
        for portion in batches(objects, DELETE_BATCH):
            response = self._s3.delete_objects(Bucket=self._name, Delete={"Objects": list(portion), "Quiet": True})
            if response.get("Errors"):
                raise StorageError("S3 did not delete every image; try again.")
