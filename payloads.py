"""How values are written for Temporal: as JSON, by Pydantic, and encrypted where there are keys for it.

Whatever of ours speaks to Temporal has its data converter from here, and so reads what the others have written.
docs/security.md says what this keeps from whom, and how keys are rotated.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

# What Temporal's own samples call it; the Web UI shows it for what it cannot read.
ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
NONCE_BYTES = 12


class PayloadUnreadable(Exception):
    """A payload that is encrypted with a key that is not here, or that somebody has changed.

    It is no failure of Temporal's (FailureError), so a workflow that meets it waits, its task failing, for whoever
    mends the keys.
    """


def data_converter(keys: Mapping[str, bytes]) -> DataConverter:
    """The data converter of every client, worker and replayer. Without keys nothing is encrypted."""
    if not keys:
        return pydantic_data_converter
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=EncryptionCodec(keys),
        # A message or a stack trace may quote anything.
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


class EncryptionCodec(PayloadCodec):
    """AES-256-GCM (NIST SP 800-38D): the first key encrypts, each decrypts what it has encrypted.

    An envelope's metadata names encoding and key, and is authenticated with the data, which is a random nonce and
    the whole payload, its own metadata included. What is not encrypted is passed through: it was written before there
    were keys.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {key_id.encode(): AESGCM(key) for key_id, key in keys.items()}
        self._active = next(iter(self._ciphers))

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises PayloadUnreadable."""
        return [self._decrypted(payload) if _is_encrypted(payload) else payload for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._active].encrypt(nonce, payload.SerializeToString(), _authenticated(self._active))
        return Payload(metadata={"encoding": ENCODING, KEY_ID: self._active}, data=nonce + sealed)

    def _decrypted(self, envelope: Payload) -> Payload:
        key_id = envelope.metadata.get(KEY_ID, b"")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise PayloadUnreadable(f"a payload is encrypted with key {_shown(key_id)}, which is not configured here")
        nonce, sealed = envelope.data[:NONCE_BYTES], envelope.data[NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, _authenticated(key_id)))
        except (InvalidTag, ValueError):
            raise PayloadUnreadable(
                f"a payload is not what key {_shown(key_id)} has encrypted: it was changed, or the key"
                " of that id is another one here"
            ) from None


def _is_encrypted(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING


def _authenticated(key_id: bytes) -> bytes:
    """The envelope's metadata, as it goes into the tag."""
    return ENCODING + b"\n" + key_id


def _shown(key_id: bytes) -> str:
    return repr(key_id[:64].decode(errors="replace"))
