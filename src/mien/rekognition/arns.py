"""Names of resources in AWS's form: `arn:aws:rekognition:<region>:<account>:collection/<id>`."""

from __future__ import annotations

import re

from mien.rekognition.errors import WireError, invalid

COLLECTION = re.compile(r"arn:aws[a-z-]*:rekognition:[a-z0-9-]+:(\d{12}):collection/([a-zA-Z0-9_.\-]{1,255})")


def collection_arn(region: str, account: str, collection_id: str) -> str:
    return f"arn:aws:rekognition:{region}:{account}:collection/{collection_id}"


def collection_of(arn: str, account: str) -> str:
    """The collection id that an ARN names. Raises WireError for other resources and other accounts."""
    found = COLLECTION.fullmatch(arn)
    if not found:
        raise invalid("The ResourceArn does not name a collection.")
    if found[1] != account:
        raise WireError("ResourceNotFoundException", f"The resource {arn} does not exist")
    return found[2]


def identity_arn(account: str, identity: str) -> str:
    """An identity from the keys file: an ARN as it is, a plain name as a user of the account."""
    return identity if identity.startswith("arn:") else f"arn:aws:iam::{account}:user/{identity}"
