"""Sealed fields, blind indexes and opaque ids: the only module that touches key material.

The root key wraps each shop's keys, a shop's data key wraps each person's key, a person's key seals their fields.
Destroying one wrapped person key therefore makes the person unreadable wherever the sealed fields were copied to.
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_FORMAT: Final = b"\x01"
_HEADER: Final = 3  # one byte format, two bytes key version
_NONCE: Final = 12
_KEY: Final = 32
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62_PAIRS: Final = tuple(first + second for first in _BASE62 for second in _BASE62)
_OPEN_ID_LENGTH: Final = 22  # 128 bits in base 62


class CannotOpen(Exception):
    """A sealed value does not belong here, was altered, or its key is gone."""


def seal(box: AESGCM, version: int, plain: bytes, context: bytes) -> bytes:
    """AES-256-GCM with a random nonce; `context` (shop, table, column, person) is bound as associated data."""
    return _seal(box, _header(version), os.urandom(_NONCE), plain, context)


def _seal(box: AESGCM, header: bytes, nonce: bytes, plain: bytes, context: bytes) -> bytes:
    return header + nonce + box.encrypt(nonce, plain, header + context)


@lru_cache(maxsize=256)
def _header(version: int) -> bytes:
    return _FORMAT + version.to_bytes(2, "big")


def unseal(box: AESGCM, sealed: bytes, context: bytes) -> bytes:
    """The plain bytes. Raises CannotOpen when key, place or content differ from what was sealed."""
    if len(sealed) < _HEADER + _NONCE + 16 or sealed[:1] != _FORMAT:
        raise CannotOpen("not a sealed value of a known format")
    try:
        return box.decrypt(sealed[_HEADER : _HEADER + _NONCE], sealed[_HEADER + _NONCE :], sealed[:_HEADER] + context)
    except InvalidTag:
        raise CannotOpen("the sealed value does not belong to this place") from None


def sealed_version(sealed: bytes) -> int:
    """The key version that a sealed value names in its header."""
    return int.from_bytes(sealed[1:_HEADER], "big")


class PersonKey:
    """Seals one person's fields; the person is the origin customer, so that a merge re-seals nothing."""

    __slots__ = ("_box", "_place", "version")

    def __init__(self, key: bytes, shop_id: int, customer_id: int, version: int = 1) -> None:
        self._box = AESGCM(key)
        self._place = b"%d|%d|" % (shop_id, customer_id)
        self.version = version

    def seal(self, column: str, value: str) -> bytes:
        """`column` is `table.column`."""
        return seal(self._box, self.version, value.encode(), self._place + column.encode())

    def seal_all(self, fields: Sequence[tuple[str, str | None]]) -> list[bytes | None]:
        """Several fields (`table.column` and value), each in its place; None stays None.

        Their nonces are drawn together and used up here: kept for later, a copied machine would use them again.
        """
        header, encrypt = _header(self.version), self._box.encrypt
        context = header + self._place
        random = os.urandom(_NONCE * len(fields))
        sealed: list[bytes | None] = []
        for index, (column, value) in enumerate(fields):
            if value is None:
                sealed.append(None)
                continue
            nonce = random[_NONCE * index : _NONCE * (index + 1)]
            sealed.append(header + nonce + encrypt(nonce, value.encode(), context + column.encode()))
        return sealed

    def open(self, column: str, sealed: bytes) -> str:
        """Raises CannotOpen."""
        return unseal(self._box, sealed, self._place + column.encode()).decode()


class FileKey:
    """Seals the parts of one file, each bound to its place. With its key destroyed, the file is gone at once."""

    __slots__ = ("_box", "_place")

    def __init__(self, key: bytes, shop_id: int, file_id: UUID) -> None:
        self._box = AESGCM(key)
        self._place = b"%d|file|%s|" % (shop_id, file_id.bytes)

    def seal(self, part: int, plain: bytes) -> bytes:
        """One part, counted from 0."""
        return seal(self._box, 1, plain, self._place + b"%d" % part)

    def open(self, part: int, sealed: bytes) -> bytes:
        """Raises CannotOpen."""
        return unseal(self._box, sealed, self._place + b"%d" % part)


class ShopKeys:
    """One shop's key ring, unwrapped: data keys by version, and the key of its blind indexes."""

    def __init__(self, shop_id: int, data_keys: Mapping[int, bytes], index_key: bytes, *, current: int) -> None:
        self.shop_id = shop_id
        self.current = current  # the version that new seals use
        # Keys are set up once: that takes longer than sealing a field or hashing a number with them.
        self._boxes = {version: AESGCM(key) for version, key in data_keys.items()}
        self._index = HMAC(index_key, SHA256())

    def blind(self, kind: str, value: str) -> bytes:
        """HMAC-SHA-256 of a normalised value, separate for each kind: the only way to search for it."""
        index = self._index.copy()
        index.update(f"{kind}\x1f{value}".encode())
        return index.finalize()

    def seal(self, column: str, value: str) -> bytes:
        """Seal something of the shop itself (a client's secret, an endpoint's), not of a person."""
        return self.seal_bytes(column, value.encode())

    def open(self, column: str, sealed: bytes) -> str:
        """Raises CannotOpen."""
        return self.open_bytes(column, sealed).decode()

    def seal_bytes(self, column: str, value: bytes) -> bytes:
        """As `seal`, of what is no text."""
        return seal(self._boxes[self.current], self.current, value, self._own(column))

    def open_bytes(self, column: str, sealed: bytes) -> bytes:
        """Raises CannotOpen."""
        return unseal(self._box(sealed), sealed, self._own(column))

    def new_person(self, customer_id: int) -> tuple[PersonKey, bytes]:
        """A fresh person key, and its wrapped form to store."""
        random = os.urandom(_KEY + _NONCE)
        key, nonce = random[:_KEY], random[_KEY:]
        box, header = self._boxes[self.current], _header(self.current)
        wrapped = _seal(box, header, nonce, key, self._person(customer_id))
        return PersonKey(key, self.shop_id, customer_id), wrapped

    def person(self, customer_id: int, wrapped: bytes) -> PersonKey:
        """The person key from its wrapped form. Raises CannotOpen."""
        key = unseal(self._box(wrapped), wrapped, self._person(customer_id))
        return PersonKey(key, self.shop_id, customer_id)

    def new_file(self, column: str, file_id: UUID) -> tuple[FileKey, bytes]:
        """A fresh key for the parts of a file, and its sealed form to store in a column of the shop's own."""
        key = os.urandom(_KEY)
        return FileKey(key, self.shop_id, file_id), self.seal(column, key.hex())

    def file(self, column: str, file_id: UUID, sealed: bytes) -> FileKey:
        """The file's key from its sealed form. Raises CannotOpen."""
        return FileKey(bytes.fromhex(self.open(column, sealed)), self.shop_id, file_id)

    def rewrap(self, customer_id: int, wrapped: bytes) -> bytes:
        """A person key wrapped under the current version; the fields that it seals stay as they are."""
        context = self._person(customer_id)
        return seal(self._boxes[self.current], self.current, unseal(self._box(wrapped), wrapped, context), context)

    def reseal(self, column: str, sealed: bytes) -> bytes:
        """Something of the shop itself, sealed under the current version."""
        return self.seal_bytes(column, self.open_bytes(column, sealed))

    def _own(self, column: str) -> bytes:
        return f"{self.shop_id}|{column}".encode()

    def _person(self, customer_id: int) -> bytes:
        return b"%d|person|%d" % (self.shop_id, customer_id)

    def _box(self, sealed: bytes) -> AESGCM:
        try:
            return self._boxes[sealed_version(sealed)]
        except KeyError:
            raise CannotOpen("sealed under a key version that this shop does not hold") from None


class RootKey:
    """The installation's key: wraps shop keys, hashes credentials for lookup, enciphers open ids."""

    def __init__(self, key: bytes) -> None:
        self._wrap = AESGCM(_derive(key, "wrap"))
        self._lookup = HMAC(_derive(key, "lookup"), SHA256())
        # One block at a time under ECB, each of them unique: nothing carries over, so the contexts serve for ever.
        cipher = Cipher(algorithms.AES(_derive(key, "open-id")), modes.ECB())  # noqa: S305
        self._encipher, self._decipher = cipher.encryptor().update, cipher.decryptor().update

    def new_shop_keys(self, shop_id: int) -> tuple[bytes, bytes]:
        """Wrapped data key (version 1) and wrapped index key of a new shop."""
        return self.wrap_data_key(shop_id, 1, os.urandom(_KEY)), seal(
            self._wrap, 1, os.urandom(_KEY), b"%d|index" % shop_id
        )

    def wrap_data_key(self, shop_id: int, version: int, key: bytes) -> bytes:
        """A shop's data key in the form that is stored."""
        return seal(self._wrap, version, key, b"%d|data" % shop_id)

    def open_shop_keys(
        self, shop_id: int, wrapped: dict[int, bytes], wrapped_index: bytes, *, current: int
    ) -> ShopKeys:
        """Raises CannotOpen when the root key is not the one that wrapped them."""
        data = {version: unseal(self._wrap, sealed, b"%d|data" % shop_id) for version, sealed in wrapped.items()}
        index = unseal(self._wrap, wrapped_index, b"%d|index" % shop_id)
        return ShopKeys(shop_id, data, index, current=current)

    def lookup_hash(self, kind: str, secret: str) -> bytes:
        """Where a credential is found: a keyed hash, so that a copy of the table cannot be tried out."""
        lookup = self._lookup.copy()
        lookup.update(f"{kind}\x1f{secret}".encode())
        return lookup.finalize()

    def open_id(self, shop_id: int, customer_id: int) -> str:
        """Youzan's `yz_open_id`: the pair (shop, customer) as one enciphered block, in base 62."""
        block = shop_id.to_bytes(8, "big") + customer_id.to_bytes(8, "big")
        number = int.from_bytes(self._encipher(block), "big")
        pairs = []
        for _ in range(_OPEN_ID_LENGTH // 2):
            number, pair = divmod(number, 3844)
            pairs.append(_BASE62_PAIRS[pair])
        return "".join(reversed(pairs))

    def read_open_id(self, shop_id: int, open_id: str) -> int | None:
        """The customer behind an open id of this shop, or None when it is not one."""
        if len(open_id) != _OPEN_ID_LENGTH:
            return None
        number = 0
        for character in open_id:
            digit = _BASE62.find(character)
            if digit < 0:
                return None
            number = number * 62 + digit
        if number >> 128:
            return None
        block = self._decipher(number.to_bytes(16, "big"))
        customer_id = int.from_bytes(block[8:], "big")
        return customer_id if int.from_bytes(block[:8], "big") == shop_id and customer_id < 2**53 else None


def fingerprint(payload: bytes) -> bytes:
    """SHA-256 of a canonical payload: ties between equal versions, and replays of one key, are told by it."""
    return sha256(payload).digest()


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), length=_KEY, salt=None, info=f"kehu {purpose} v1".encode()).derive(key)
