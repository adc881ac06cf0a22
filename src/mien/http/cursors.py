"""Page cursors that a client cannot look into, change, or carry to another listing."""

from __future__ import annotations

from collections.abc import Mapping

from mien.errors import InvalidInput
from mien.signing import Signer


class Cursors:
    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def seal(self, listing: Mapping[str, object], token: str | None) -> str | None:
        return None if token is None else self._signer.seal("cursor", {"of": _name(listing), "at": token})

    def open(self, listing: Mapping[str, object], cursor: str | None) -> str | None:
        """Raises InvalidInput for a cursor of another listing."""
        if cursor is None:
            return None
        facts = self._signer.open("cursor", cursor)
        if facts["of"] != _name(listing):
            raise InvalidInput("This cursor belongs to another listing.")
        return str(facts["at"])


def _name(listing: Mapping[str, object]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(listing.items()))
