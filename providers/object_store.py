"""Where files are kept that are too large for our books: a folder, or a bucket of anything that speaks S3.

docs/decisions/object-store.md
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from contracts.object_store import ObjectNotFound, ObjectStoreFailed

if TYPE_CHECKING:
    # They are for the type checker alone.
    from obstore.store import RetryConfig, S3Config

PRIVATE_FOLDER = 0o700
# What is read at once: a client who takes it slowly keeps no connection to the store open meanwhile.
CHUNK_BYTES = 1024 * 1024
# S3 wants the chunks of a stream to have at least 5 MiB.
S3_CHUNK_BYTES = 5 * 1024 * 1024
RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


@dataclass(frozen=True)
class S3Access:
    """How to reach and enter a bucket. What is None here obstore looks for itself, as AWS's own clients do."""

    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Written:
    """What was stored: its size in bytes, and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Listed:
    """An object in a list; its size is in bytes."""

    key: str
    size: int
    modified_at: datetime


class ObjectStore:
    """Objects by key, such as `reports/rep_1/orders.csv`. Readers see an object as it was or as it is, never a part.

    Every method raises ObjectStoreFailed.
    """

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store

    async def put(self, key: str, data: bytes) -> None:
        """Create or replace an object."""
        with _failures():
            await obstore.put_async(self._store, key, data, use_multipart=False)

    async def put_new(self, key: str, data: bytes) -> bool:
        """Create an object. False when there is one: of many who try, one succeeds."""
        with _failures():
            try:
                await obstore.put_async(self._store, key, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> Written:
        """Create or replace an object, of which little is held in memory. What `chunks` raises passes through."""
        size, digest = 0, hashlib.sha256()

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                digest.update(chunk)
                yield chunk

        with _failures():
            await obstore.put_async(
                self._store,
                key,
                counted(),
                chunk_size=CHUNK_BYTES if isinstance(self._store, LocalStore) else S3_CHUNK_BYTES,
                # One at a time, so that little is held in memory.
                max_concurrency=1,
            )
        return Written(size, digest.hexdigest())

    async def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectNotFound."""
        with _failures():
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The object's bytes from `start` to before `end`, or to its own. Raises ObjectNotFound."""
        with _failures():
            size = (await obstore.head_async(self._store, key))["size"]
        end = size if end is None else min(end, size)
        while start < end:
            with _failures():
                chunk = await obstore.get_range_async(self._store, key, start=start, end=min(start + CHUNK_BYTES, end))
            start += len(chunk)
            yield bytes(chunk)

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        """Every object below a prefix, which ends where a `/` is."""
        with _failures():
            async for page in obstore.list(self._store, prefix):
                for found in page:
                    yield Listed(found["path"], found["size"], found["last_modified"])

    async def delete_below(self, prefix: str) -> None:
        """Delete every object below a prefix, which ends where a `/` is."""
        if isinstance(self._store, LocalStore):
            # With what killed processes were about to put, which is no object yet and in no list.
            await asyncio.to_thread(_remove, Path(str(self._store.prefix)) / prefix)
            return
        for key in [found.key async for found in self.list(prefix)]:
            await self.delete(key)

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no trouble."""
        try:
            with _failures():
                await obstore.delete_async(self._store, key)
        except ObjectNotFound:
            pass

    async def signed_url(self, key: str, lifetime: timedelta) -> str | None:
        """A URL that anybody can get the object from, for this long; None where the store is a folder."""
        if isinstance(self._store, LocalStore):
            return None
        with _failures():
            return await obstore.sign_async(self._store, "GET", key, lifetime)


def open_object_store(url: str, s3: S3Access) -> ObjectStore:
    """The store at file:///folder, which is made if need be, or at s3://bucket/prefix.

    Nothing is asked of a bucket yet. Raises OSError for a folder that cannot be made.
    """
    if url.startswith("s3://"):
        return ObjectStore(_bucket(url, s3))
    folder = Path(unquote(urlsplit(url).path))
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    return ObjectStore(LocalStore(folder, automatic_cleanup=True))


def _bucket(url: str, s3: S3Access) -> S3Store:
    # The store checks what it receives against it.
    config: S3Config = {"checksum_algorithm": "SHA256"}
    if s3.region is not None:
        config["region"] = s3.region
    if s3.endpoint_url is not None:
        config["endpoint"] = s3.endpoint_url
    if s3.access_key_id is not None:
        config["access_key_id"] = s3.access_key_id
    if s3.secret_access_key is not None:
        config["secret_access_key"] = s3.secret_access_key
    if s3.session_token is not None:
        config["session_token"] = s3.session_token
    allow_http = (s3.endpoint_url or "").startswith("http://")
    return S3Store.from_url(url, config=config, client_options={"allow_http": allow_http}, retry_config=RETRIES)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ObjectStoreFailed(str(error)) from error


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ObjectNotFound from None
    except BaseError as error:
        # What follows the first line is for who debugs obstore.
        raise ObjectStoreFailed(str(error).partition("\n")[0]) from error
