"""Jobs that make images of images. What they read and write is in the object store; they are told and tell keys."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

from contracts import queues
from contracts.jobs import JobType, Retries, RunsIn

MAX_SOURCE_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 60_000_000
MAX_EDGE = 4_096

# Nothing beside the images that are kept for this: reports are in the same store.
ImageKey = Annotated[str, StringConstraints(pattern=r"^images(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){1,8}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Edge = Annotated[int, Field(ge=1, le=MAX_EDGE)]


class ThumbnailsArguments(BaseModel):
    """Which image, and how long the longer edge of each thumbnail is to be, in pixels.

    With a `sha256` any other bytes under this key are refused.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, json_schema_extra={"examples": [{"key": "images/tee.jpg"}]}
    )

    key: ImageKey
    sizes: list[Edge] = Field(default=[128, 512], min_length=1, max_length=10)
    sha256: Sha256 | None = None


class Thumbnail(BaseModel, frozen=True):
    """A thumbnail as it is kept: WebP, its size in bytes, its edges in pixels. One is never larger than its image."""

    key: str
    sha256: Sha256
    size: PositiveInt
    width: PositiveInt
    height: PositiveInt


class ThumbnailsResult(BaseModel, frozen=True):
    """The image's SHA-256, which its thumbnails are kept under, and these in the order that was asked for."""

    sha256: Sha256
    thumbnails: tuple[Thumbnail, ...]


THUMBNAILS = JobType(
    "images.thumbnails",
    summary="Makes thumbnails of an image in the object store, and keeps them there.",
    arguments=ThumbnailsArguments,
    result=ThumbnailsResult,
    retries=Retries(attempts=4, first_after_s=1, at_most_s=10),
    timeout_s=60,
    queue=queues.CPU,
    runs_in=RunsIn.PROCESS,
)
