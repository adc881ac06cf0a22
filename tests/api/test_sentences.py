"""What the server says to people has words in every language of the page, by codes that stay."""

from __future__ import annotations

import re
from pathlib import Path

from mien.api.problems import document
from mien.api.routes.service import PAGES
from mien.app import enrolment, erasure, indexing, upload_notices
from mien.backends.embedded import backend, events, watcher
from mien.domain import errors
from mien.domain.faces import IssueKind, Reason

WITHOUT_WORDS = {
    "invalid_input",  # says what is wrong with what was given
    "malformed_request",
    "model_mismatch",
    "limit_exceeded",
    "collection_not_found",  # of the wire API
    "collection_exists",
    "erasure_not_found",  # not asked for by the page
    "not_authenticated",  # has words of its own
}
ABSTRACT = {"not_found", "already_exists", "model_error"}


def test_german_has_words_for_all_that_the_server_says() -> None:
    assert _words("de") == _codes() - WITHOUT_WORDS - ABSTRACT


def test_codes_are_the_types_of_problems() -> None:
    assert document(507, "", errors.StorageFull.code)["type"] == "urn:mien:storage-full"
    assert document(500, "")["type"] == "urn:mien:internal-server-error"


def _words(language: str) -> set[str]:
    """Return the codes that a language of the page has words for; that it has all of another, its own tests say."""
    module = (PAGES / "static" / "languages" / f"{language}.js").read_text("utf-8")
    return set(re.findall(r"^    (\w+):", module.partition("\n  server: {")[2].partition("\n  },")[0], re.MULTILINE))


def _codes() -> set[str]:
    sources = "".join(Path(module.__file__).read_text("utf-8") for module in (enrolment, indexing, upload_notices))
    notices = re.findall(r'UploadNotice\(\s*"(\w+)"', sources)
    parts = "".join(Path(module.__file__).read_text("utf-8") for module in (backend, erasure, events, watcher))
    warnings = re.findall(r'HealthWarning\(\s*"(\w+)"', parts)
    reasons = {reason.value.lower() for reason in Reason}
    kinds = {kind.value.lower() for kind in IssueKind}
    looks_like = upload_notices.LOOKS_LIKE_ANOTHER_NAME
    return {*notices, *warnings, looks_like, "internal_server_error"} | reasons | kinds | _error_codes(errors.MienError)


def _error_codes(kind: type[errors.MienError]) -> set[str]:
    """Return the codes of the error tree; what a backend keeps to itself is not in its module."""
    kinds = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return {code for each in kinds for code in {each.code, *_error_codes(each)}}
