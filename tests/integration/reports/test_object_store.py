"""The object store in a folder, and what can be shown of one in a bucket without a bucket: that URLs are signed."""

import asyncio
import hashlib
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from contracts.object_store import ObjectNotFound, ObjectStoreFailed
from providers.object_store import CHUNK_BYTES, ObjectStore, S3Access, open_object_store

KEY = "reports/rep_1/part-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some files" / "é"


@pytest.fixture
def store(folder: Path) -> ObjectStore:
    return open_object_store(folder.as_uri(), S3Access())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def keys(store: ObjectStore, prefix: str) -> list[str]:
    return sorted([found.key async for found in store.list(prefix)])


async def test_what_is_put_is_a_file_that_can_be_got_back(store: ObjectStore, folder: Path) -> None:
    await store.put(KEY, b"first")
    await store.put(KEY, b"second")

    assert (folder / KEY).read_bytes() == b"second"
    assert await store.get(KEY) == b"second"


async def test_the_folder_is_its_owners_alone(store: ObjectStore, folder: Path) -> None:
    await store.put(KEY, b"")

    assert mode_of(folder) == 0o700


async def test_of_many_who_create_one_object_one_succeeds(store: ObjectStore, folder: Path) -> None:
    tried = await asyncio.gather(*(store.put_new(KEY, f"{number}".encode()) for number in range(20)))

    assert sum(tried) == 1
    assert (folder / KEY).read_bytes() == f"{tried.index(True)}".encode()


async def test_a_stream_is_stored_whole_with_its_size_and_checksum(store: ObjectStore, folder: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(40):
            yield bytes([number]) * 777_777

    written = await store.put_stream(KEY, chunks())

    stored = (folder / KEY).read_bytes()
    assert stored == b"".join([bytes([number]) * 777_777 for number in range(40)])
    assert (written.size, written.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())


async def test_a_stream_that_fails_stores_nothing(store: ObjectStore, folder: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * 12_000_000
        raise LookupError("no more")

    with pytest.raises(LookupError):
        await store.put_stream(KEY, chunks())

    assert await keys(store, "reports") == []
    with pytest.raises(ObjectNotFound):
        await store.get(KEY)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, None), (0, 0), (5, 6), (CHUNK_BYTES - 1, CHUNK_BYTES + 1), (10, None), (0, 10**9), (3 * 10**6, None), (9, 3)],
)
async def test_any_range_of_bytes_can_be_streamed(store: ObjectStore, start: int, end: int | None) -> None:
    data = bytes(range(256)) * 10_000
    await store.put(KEY, data)

    chunks = [chunk async for chunk in store.stream(KEY, start, end)]

    assert b"".join(chunks) == data[start:end]
    assert all(len(chunk) <= CHUNK_BYTES for chunk in chunks)


async def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound):
        await store.get("reports/none")
    with pytest.raises(ObjectNotFound):
        await anext(store.stream("reports/none"))
    await store.delete("reports/none")
    assert await keys(store, "reports/none") == []


async def test_lists_and_deletions_go_by_whole_names(store: ObjectStore, folder: Path) -> None:
    for key in ("reports/a/1", "reports/a/2", "reports/ab/1"):
        await store.put(key, b"12345")
    # What a process was about to put when it was killed; obstore shows it to nobody.
    (folder / "reports/a/3#1").write_bytes(b"123")

    assert [(found.key, found.size) async for found in store.list("reports/ab")] == [("reports/ab/1", 5)]
    await store.delete_below("reports/a")
    assert await keys(store, "reports") == ["reports/ab/1"]
    assert not (folder / "reports/a").exists()


async def test_a_folder_has_no_urls_to_give_away(store: ObjectStore) -> None:
    assert await store.signed_url(KEY, timedelta(minutes=5)) is None


async def test_a_bucket_gives_urls_that_are_signed_and_expire() -> None:
    access = S3Access(
        region="eu-north-1", endpoint_url="http://127.0.0.1:9", access_key_id="an-id", secret_access_key="a-secret"
    )
    store = open_object_store("s3://bucket/some/prefix", access)

    signed = await store.signed_url(KEY, timedelta(minutes=5))

    assert signed is not None
    url = urlsplit(signed)
    query = parse_qs(url.query)
    assert (url.netloc, url.path) == ("127.0.0.1:9", f"/bucket/some/prefix/{KEY}")
    assert query["X-Amz-Expires"] == ["300"]
    assert query["X-Amz-Credential"][0].startswith("an-id/")
    assert "/eu-north-1/s3/" in query["X-Amz-Credential"][0]
    assert query["X-Amz-Signature"]
    assert "a-secret" not in signed
    assert "a-secret" not in repr(access)


async def test_a_bucket_that_does_not_answer_is_a_failure_in_a_line() -> None:
    access = S3Access(endpoint_url="http://127.0.0.1:9", access_key_id="an-id", secret_access_key="a-secret")
    store = open_object_store("s3://bucket", access)

    with pytest.raises(ObjectStoreFailed) as failed:
        await store.get(KEY)

    assert "\n" not in str(failed.value)
    assert "a-secret" not in str(failed.value)
