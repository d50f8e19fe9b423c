"""/shop/static: style sheet, scripts and icon of the pages, kept in memory.

An address carries a hash of what is behind it, so that browsers may keep that for good. Where the scripts that are not
ours come from stands in static/README.md.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from api.errors import NotFound
from api.routing import GuardedRoute, open_to_all

FOLDER = "/shop/static"
MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}
DIGEST_LENGTH = 16

router = APIRouter(prefix=FOLDER, route_class=GuardedRoute, include_in_schema=False)


@dataclass(frozen=True)
class StaticFile:
    address: str
    content: bytes
    media_type: str


def _loaded() -> dict[str, StaticFile]:
    found = {}
    for file in files("api").joinpath("static").iterdir():
        media_type = MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
            found[file.name] = StaticFile(f"{FOLDER}/{digest}/{file.name}", content, media_type)
    return found


FILES = _loaded()


def address_of(name: str) -> str:
    """Where a page finds this file. Raises KeyError for one that does not exist."""
    return FILES[name].address


@router.get("/{digest}/{name}")
@open_to_all()
async def static_file(digest: str, name: str) -> Response:
    file = FILES.get(name)
    # While versions change, a page of one may ask a process of the other, whose file must not be kept under this.
    if file is None or file.address != f"{FOLDER}/{digest}/{name}":
        raise NotFound
    return Response(file.content, headers=FOR_GOOD, media_type=file.media_type)
