"""Lead from the name of an erased person to their id: whoever knows the name, and nobody else.

The receipt of an erasure holds the id encrypted. The key is made of the installation's secret, the erasure's own id, so
that no two receipts look as if they were of one name, and the name, which is stored nowhere. That a name was the right
one shows the hash of the id in the receipt.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from mien.app.ports import Catalog
from mien.domain import object_keys
from mien.domain.faces import iterate_pages
from mien.domain.records import Erasure, ErasureReceipt, Person

PAGE = 500


class ErasedNames:
    """Seals ids with names, and finds the ids of erased people."""

    def __init__(self, catalog: Catalog, pseudonym: Callable[[str], str]) -> None:
        """Compose it; `pseudonym` makes a receipt's stand-in for a user id, with the installation's secret."""
        self._catalog, self._pseudonym = catalog, pseudonym

    def seal(self, erasure_ids: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Encrypt the ids of a person, who comes first, and of those merged into them, which have the erasures' ids.

        Each is encrypted with its person's name and, so that one leads to all, with the name and id of the first.
        """
        first = next(iter(erasure_ids))
        names = {person.user_id: person.name for person in self._catalog.get(Person, list(erasure_ids))}
        sealed = {}
        for user_id, erasure_id in erasure_ids.items():
            known = dict.fromkeys(names[each] for each in (user_id, first) if each in names)
            known |= {} if user_id == first else {first: None}
            sealed[user_id] = tuple(_apply(self._key(name, erasure_id), user_id.encode()).hex() for name in known)
        return sealed

    def ids_of(self, text: str) -> tuple[str, ...]:
        """Return the ids of the people who were erased, or are being erased, under an id or a name."""
        text = unicodedata.normalize("NFC", text).strip()
        if not text.isprintable():  # no id or name is like that, and it may be no Unicode
            return ()
        intents = self._catalog.get(Erasure, [text])
        receipts = self._catalog.find(ErasureReceipt, user_id=self._pseudonym(text), limit=1).items
        found = [text] if intents or receipts else []
        return tuple(dict.fromkeys([*found, *self._named(text)]))

    def _named(self, name: str) -> Iterator[str]:
        intents = iterate_pages(lambda token: self._catalog.find(Erasure, limit=PAGE, token=token))
        for intent in intents:
            yield from (each for each in self._unseal(intent, name) if each == intent.user_id)
        receipts = iterate_pages(lambda token: self._catalog.find(ErasureReceipt, limit=PAGE, token=token))
        for receipt in receipts:
            yield from (each for each in self._unseal(receipt, name) if self._pseudonym(each) == receipt.user_id)

    def _unseal(self, record: Erasure | ErasureReceipt, name: str) -> Iterator[str]:
        """Decrypt the ids of a record; with a wrong name, they are another text."""
        for sealed in record.sealed_ids:
            key = self._key(name, record.erasure_id or "")
            with suppress(ValueError):  # a backup may hold anything
                yield _apply(key, bytes.fromhex(sealed)).decode()

    def _key(self, name: str, erasure_id: str) -> bytes:
        """Make a key; no user id has the control characters, so that none has this as its pseudonym."""
        return self._pseudonym(f"\0{erasure_id}\0{object_keys.fold(name)}").encode()


def _apply(key: bytes, text: bytes) -> bytes:
    """Encrypt or decrypt with a key that is used once."""
    stream = hashlib.shake_256(key).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))
