"""Thumbnails: an image in the object store becomes smaller ones there; over HTTP go but keys and checksums."""

import hashlib
import io
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from stack.home import Home
from tests.acceptance.client import Caller, Door, assert_problem
from tests.jobs import FINAL, Json, accepted, ask_for, until
from tests.stack_session import RunningStack


@pytest.fixture
def owner(door: Door) -> Caller:
    return door.customer("jobs:write")


@pytest.fixture
def files(stack: RunningStack) -> Path:
    """Where the stack's object store keeps what it has."""
    return Home(stack.home).files


def keep(files: Path, data: bytes) -> str:
    """Put an image into the store; returns its key."""
    key = f"images/{uuid4().hex}"
    path = files / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return key


def image(kind: str = "PNG", *, width: int = 640, height: int = 480, mode: str = "RGB", **options: Any) -> bytes:
    written = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert(mode).save(written, kind, **options)
    return written.getvalue()


def transparent() -> bytes:
    written = io.BytesIO()
    Image.new("RGBA", (640, 480), (255, 0, 0, 0)).save(written, "PNG")
    return written.getvalue()


def empty_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be an image of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


async def made(owner: Caller, **arguments: Any) -> Json:
    job = await accepted(owner, type="images.thumbnails", arguments=arguments)
    assert job["queue"] == "cpu"
    return await until(owner, job, *FINAL)


async def test_thumbnails_of_an_image_are_kept_beside_it_in_every_size(owner: Caller, files: Path) -> None:
    source = image()
    key = keep(files, source)

    done = await made(owner, key=key, sizes=[64, 320])

    assert done["status"] == "succeeded", done
    assert done["progress"] == {"done": 2, "total": 2, "note": None}
    sha256 = hashlib.sha256(source).hexdigest()
    assert done["result"]["sha256"] == sha256
    assert [thumbnail["key"] for thumbnail in done["result"]["thumbnails"]] == [
        f"thumbnails/{sha256}/64.webp",
        f"thumbnails/{sha256}/320.webp",
    ]
    for thumbnail, size in zip(done["result"]["thumbnails"], [(64, 48), (320, 240)], strict=True):
        data = (files / thumbnail["key"]).read_bytes()
        assert (thumbnail["size"], thumbnail["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        with Image.open(io.BytesIO(data)) as opened:
            assert (opened.format, opened.size, opened.size) == (
                "WEBP",
                size,
                (thumbnail["width"], thumbnail["height"]),
            )


async def test_the_same_image_again_gives_the_same_thumbnails(owner: Caller, files: Path) -> None:
    source = image("JPEG", width=300, height=200)

    first = await made(owner, key=keep(files, source))
    second = await made(owner, key=keep(files, source), sha256=hashlib.sha256(source).hexdigest())

    assert first["result"] == second["result"]
    # None is larger than its image.
    assert [found["width"] for found in first["result"]["thumbnails"]] == [128, 300]


async def test_a_thumbnail_is_upright_keeps_what_is_transparent_and_tells_nothing_else(
    owner: Caller, files: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    exif[0x010F] = "a camera"
    turned = await made(owner, key=keep(files, image("JPEG", exif=exif)), sizes=[64])
    clear = await made(owner, key=keep(files, transparent()), sizes=[64])

    with Image.open(files / turned["result"]["thumbnails"][0]["key"]) as opened:
        assert opened.size == (48, 64)
        assert not opened.getexif()
    with Image.open(files / clear["result"]["thumbnails"][0]["key"]) as opened:
        assert opened.mode == "RGBA"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x89PNG\r\n\x1a\n but no more", "not_an_image"),
        (image()[:200], "not_an_image"),
        (image("TIFF"), "not_an_image"),
        (empty_png(100_000, 100_000), "image_too_large"),
        (empty_png(10_000, 7_000), "image_too_large"),
    ],
    ids=["no image", "broken off", "another format", "bomb", "smaller bomb"],
)
async def test_what_is_no_image_or_would_be_a_huge_one_is_refused_for_good(
    owner: Caller, files: Path, data: bytes, code: str
) -> None:
    failed = await made(owner, key=keep(files, data))

    assert (failed["status"], failed["attempt"], failed["last_error"]["code"]) == ("failed", 1, code)


async def test_a_missing_image_and_another_one_than_expected_are_refused_for_good(owner: Caller, files: Path) -> None:
    missing = await made(owner, key="images/missing")
    other = await made(owner, key=keep(files, image()), sha256="0" * 64)

    assert (missing["attempt"], missing["last_error"]["code"]) == (1, "image_not_found")
    assert (other["attempt"], other["last_error"]["code"]) == (1, "checksum_mismatch")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"key": "reports/rpt_1/orders.csv"}, "arguments.key"),
        ({"key": "images/../reports/secret"}, "arguments.key"),
        ({"key": "images/a", "sizes": []}, "arguments.sizes"),
        ({"key": "images/a", "sizes": [0]}, "arguments.sizes.0"),
        ({"key": "images/a", "sizes": [4_097]}, "arguments.sizes.0"),
        ({"key": "images/a", "sha256": "abc"}, "arguments.sha256"),
    ],
)
async def test_other_keys_and_odd_sizes_are_refused_at_the_door(
    owner: Caller, arguments: dict[str, Any], field: str
) -> None:
    problem = assert_problem(
        await ask_for(owner, type="images.thumbnails", arguments=arguments), 422, "invalid_request"
    )

    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_job_that_computes_can_be_sent_nowhere_else(owner: Caller) -> None:
    answer = await ask_for(owner, type="images.thumbnails", arguments={"key": "images/a"}, queue="jobs")

    problem = assert_problem(answer, 422, "invalid_request")
    assert problem["errors"] == [{"field": "queue", "message": "must be one of cpu"}]
