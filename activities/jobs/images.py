"""Jobs that make images of images."""

import asyncio
import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError
from temporalio.exceptions import ApplicationError

from activities.jobs.progress import tell_progress
from activities.jobs.registry import job
from contracts.job_types.images import (
    MAX_PIXELS,
    MAX_SOURCE_BYTES,
    THUMBNAILS,
    Thumbnail,
    ThumbnailsArguments,
    ThumbnailsResult,
)
from contracts.object_store import ObjectNotFound
from providers.object_store import ObjectStore, S3Access, open_object_store

# What is not named here is not even tried: each decoder is one more that strangers can feed.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
QUALITY = 80


@dataclass(frozen=True)
class ImageJobs:
    """What runs in another process is told where the store is, and opens it there."""

    object_store_url: str
    s3: S3Access

    @job(THUMBNAILS)
    def thumbnails(self, arguments: ThumbnailsArguments) -> ThumbnailsResult:
        """Make each thumbnail. Their keys are made of the image's bytes, so that a repeat writes the same again."""
        return asyncio.run(_thumbnails(open_object_store(self.object_store_url, self.s3), arguments))


async def _thumbnails(store: ObjectStore, arguments: ThumbnailsArguments) -> ThumbnailsResult:
    source = await _read(store, arguments.key)
    sha256 = hashlib.sha256(source).hexdigest()
    if arguments.sha256 not in (None, sha256):
        raise _refused("checksum_mismatch", f"the image has the SHA-256 {sha256}")
    image = _opened(source)
    # The others are made of the largest one.
    image.thumbnail((max(arguments.sizes),) * 2)
    made = []
    for number, edge in enumerate(arguments.sizes):
        tell_progress(number, len(arguments.sizes), f"{edge} px")
        smaller = image.copy()
        smaller.thumbnail((edge, edge))
        made.append(await _write(store, f"thumbnails/{sha256}/{edge}.webp", smaller))
    tell_progress(len(made), len(made))
    return ThumbnailsResult(sha256=sha256, thumbnails=tuple(made))


async def _read(store: ObjectStore, key: str) -> bytes:
    found = bytearray()
    try:
        async for chunk in store.stream(key, end=MAX_SOURCE_BYTES + 1):
            found += chunk
    except ObjectNotFound:
        raise _refused("image_not_found", f"there is nothing under {key}") from None
    if len(found) > MAX_SOURCE_BYTES:
        raise _refused("image_too_large", f"an image has at most {MAX_SOURCE_BYTES} bytes")
    return bytes(found)


def _opened(source: bytes) -> Image.Image:
    """The image as it is to be seen. How large it would be is known, and refused, before any of it is decoded."""
    with _bad_images():
        found = Image.open(io.BytesIO(source), formats=FORMATS)
        if found.width * found.height > MAX_PIXELS:
            raise _refused("image_too_large", f"an image has at most {MAX_PIXELS} pixels")
        upright = ImageOps.exif_transpose(found)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


@contextmanager
def _bad_images() -> Iterator[None]:
    """Nothing is mended by another attempt at an image that is none."""
    with warnings.catch_warnings():
        # Pillow's own bound, for what a decoder finds further inside.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise _refused("image_too_large", f"an image has at most {MAX_PIXELS} pixels") from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            raise _refused("not_an_image", f"the image is none of {', '.join(FORMATS)}, or broken") from None


async def _write(store: ObjectStore, key: str, image: Image.Image) -> Thumbnail:
    # An image of its own, since what else the source said, such as where it was taken, is nobody's concern.
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    written = io.BytesIO()
    bare.save(written, "WEBP", quality=QUALITY)
    data = written.getvalue()
    await store.put(key, data)
    return Thumbnail(
        key=key, sha256=hashlib.sha256(data).hexdigest(), size=len(data), width=image.width, height=image.height
    )


def _refused(code: str, message: str) -> ApplicationError:
    return ApplicationError(message, type=code, non_retryable=True)
