"""What payloads are encrypted with, and what becomes of those that cannot be read."""

import base64
import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, FailureError

from payloads import ENCODING, KEY_ID, NONCE_BYTES, EncryptionCodec, PayloadUnreadable, data_converter
from settings import PayloadSettings

OLD, NEW = b"o" * 32, bytes(range(32))
OLD_ONE, NEW_ONE = f"old={base64.b64encode(OLD).decode()}", f"2026.new={base64.b64encode(NEW).decode()}"
STREET = "12 Long St"


class Parcel(BaseModel, frozen=True):
    """Something with an address."""

    street: str


@pytest.fixture
def codec() -> EncryptionCodec:
    return EncryptionCodec({"new": NEW, "old": OLD})


async def encrypted_with(key_id: str, key: bytes) -> Payload:
    [payload] = await data_converter({key_id: key}).encode([Parcel(street=STREET)])
    return payload


async def test_what_is_encrypted_shows_its_key_and_nothing_else(codec: EncryptionCodec) -> None:
    payload = await encrypted_with("new", NEW)

    assert dict(payload.metadata) == {"encoding": ENCODING, KEY_ID: b"new"}
    assert STREET.encode() not in payload.SerializeToString()
    [plain] = await codec.decode([payload])
    assert plain == pydantic_data_converter.payload_converter.to_payload(Parcel(street=STREET))


async def test_the_first_key_encrypts_and_each_decrypts() -> None:
    rotated = data_converter({"new": NEW, "old": OLD})
    [fresh] = await rotated.encode([Parcel(street=STREET)])
    written = [await encrypted_with("old", OLD), fresh]

    assert [payload.metadata[KEY_ID] for payload in written] == [b"old", b"new"]
    assert await rotated.decode(written, [Parcel, Parcel]) == [Parcel(street=STREET)] * 2


async def test_the_same_is_never_encrypted_the_same(codec: EncryptionCodec) -> None:
    plain = Payload(data=STREET.encode())
    nonces = {payload.data[:NONCE_BYTES] for payload in await codec.encode([plain] * 1_000)}

    assert len(nonces) == 1_000


async def test_what_was_written_before_there_were_keys_stays_readable(codec: EncryptionCodec) -> None:
    [plain] = await pydantic_data_converter.encode([Parcel(street=STREET)])

    assert await codec.decode([plain]) == [plain]


async def test_an_unknown_key_is_named_and_is_no_failure_of_the_workflow(codec: EncryptionCodec) -> None:
    with pytest.raises(PayloadUnreadable, match="key 'lost', which is not configured here") as unreadable:
        await codec.decode([await encrypted_with("lost", os.urandom(32))])

    # A FailureError would end the workflow; anything else fails its task, which is tried again.
    assert not isinstance(unreadable.value, FailureError)
    assert STREET not in repr(unreadable.value)


def changed_data(payload: Payload) -> None:
    payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])


def changed_nonce(payload: Payload) -> None:
    payload.data = bytes([payload.data[0] ^ 1]) + payload.data[1:]


def another_key(payload: Payload) -> None:
    payload.metadata[KEY_ID] = b"old"


def the_same_key_by_another_id(payload: Payload) -> None:
    payload.metadata[KEY_ID] = b"alias"


def too_short(payload: Payload) -> None:
    payload.data = payload.data[:NONCE_BYTES]


def empty(payload: Payload) -> None:
    payload.data = b""


async def test_an_envelope_without_a_key_is_refused(codec: EncryptionCodec) -> None:
    with pytest.raises(PayloadUnreadable, match="key ''"):
        await codec.decode([Payload(metadata={"encoding": ENCODING}, data=b"x" * 40)])


@pytest.mark.parametrize(
    "change", [changed_data, changed_nonce, another_key, the_same_key_by_another_id, too_short, empty]
)
async def test_what_somebody_has_changed_is_refused(change: Any) -> None:
    codec = EncryptionCodec({"new": NEW, "old": OLD, "alias": NEW})
    payload = await encrypted_with("new", NEW)
    change(payload)

    with pytest.raises(PayloadUnreadable, match="it was changed"):
        await codec.decode([payload])


async def test_failures_are_encrypted_with_their_messages_traces_and_details() -> None:
    converter = data_converter({"new": NEW})
    failure = Failure()
    try:
        try:
            raise ValueError(f"no such street: {STREET}")
        except ValueError as cause:
            raise ApplicationError(f"cannot ship to {STREET}", STREET, type="shipping_failed") from cause
    except ApplicationError as error:
        await converter.encode_failure(error, failure)

    assert STREET.encode() not in failure.SerializeToString()
    assert (failure.message, failure.stack_trace) == ("Encoded failure", "")
    assert failure.application_failure_info.type == "shipping_failed"
    read = await converter.decode_failure(failure)
    assert isinstance(read, ApplicationError)
    assert (read.message, read.details) == (f"cannot ship to {STREET}", (STREET,))
    assert STREET in str(read.cause)


async def test_failures_of_before_stay_readable() -> None:
    failure = Failure()
    await pydantic_data_converter.encode_failure(ApplicationError("declined", "a detail"), failure)

    read = await data_converter({"new": NEW}).decode_failure(failure)

    assert isinstance(read, ApplicationError)
    assert (read.message, read.details) == ("declined", ("a detail",))


def test_without_keys_nothing_is_encrypted() -> None:
    assert PayloadSettings(payload_keys=None).keys == {}
    assert data_converter({}).payload_codec is None


def test_keys_come_from_the_environment_or_a_file_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{NEW_ONE}\n{OLD_ONE}\n")
    for value in (f"{NEW_ONE},{OLD_ONE}", file.as_uri()):
        monkeypatch.setenv("FOLLOWTHROUGH_PAYLOAD_KEYS", value)
        settings = PayloadSettings()

        assert list(settings.keys.items()) == [("2026.new", NEW), ("old", OLD)]
        assert base64.b64encode(NEW).decode() not in repr(settings)


@pytest.mark.parametrize(
    "keys",
    [
        "",
        ",",
        "no-key",
        "short=" + base64.b64encode(NEW[:16]).decode(),
        "odd=" + "!" * 44,
        f"two words={base64.b64encode(NEW).decode()}",
        f"{NEW_ONE},{NEW_ONE}",
        "file:///nowhere/keys",
    ],
)
def test_bad_keys_are_refused_without_being_repeated(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLLOWTHROUGH_PAYLOAD_KEYS", keys)

    with pytest.raises(ValidationError) as refused:
        PayloadSettings()

    for secret in (base64.b64encode(NEW).decode(), *(part.partition("=")[2] for part in keys.split(","))):
        assert not secret or secret not in str(refused.value)


def test_every_client_of_ours_gets_into_temporal_and_reads_payloads_as_the_others_do() -> None:
    root = Path(__file__).parents[2]
    modules = [
        *root.glob("*.py"),
        *(path for folder in ("activities", "api", "hosting", "stack") for path in root.glob(f"{folder}/**/*.py")),
    ]
    texts = {path.name: path.read_text() for path in modules}
    making = {name: text for name, text in texts.items() if "Client.connect(" in text or "Replayer(" in text}

    assert {"worker.py", "services.py", "migration.py", "demo.py", "deployments.py"} <= making.keys()
    for name, text in making.items():
        made = len(re.findall(r"\b(?:Client\.connect|Replayer)\(", text))
        assert len(re.findall(r"\bdata_converter=data_converter\(", text)) == made, name
        assert text.count(".access,") + text.count(".access\n") == text.count("Client.connect("), name
    assert [name for name, text in texts.items() if "pydantic_data_converter" in text] == ["payloads.py"]
