"""Text that people type, or jobs tell, and Postgres keeps."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticKnownError

_UNKEEPABLE = re.compile(r"[\x00\ud800-\udfff]")


def _printable(text: str) -> str:
    # Postgres cannot keep NUL, and other control characters have no place in a name or an address.
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must not contain control characters")
    return text


# The same for readers of the API's document; around a text whitespace is stripped, of whatever kind.
_SAID = Field(json_schema_extra={"pattern": r"^\s*[^\x00-\x1f\x7f]*\s*$"})
_SAID_OF_SKU = Field(json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*$"})


def keepable(text: str, at_most: int) -> str:
    """So much of a text, with U+FFFD for NUL and lone surrogates, which no jsonb of Postgres takes."""
    return _UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", text[:at_most])


def _short_enough(at_most: int) -> BeforeValidator:
    """Counts what is stripped too: whoever goes by the API's document counts all that is sent."""

    def check(text: Any) -> Any:
        if isinstance(text, str) and len(text) > at_most:
            raise PydanticKnownError("string_too_long", {"max_length": at_most})
        return text

    return BeforeValidator(check)


def _keepable_up_to(at_most: int) -> Callable[[Any], Any]:
    return lambda told: keepable(told, at_most) if isinstance(told, str) else told


# What a job says of itself. It is taken as it can be had: nothing fails over how a failure is worded.
MAX_CODE, MAX_MESSAGE, MAX_NOTE = 100, 2_000, 500
ToldCode = Annotated[str, BeforeValidator(_keepable_up_to(MAX_CODE))]
ToldMessage = Annotated[str, BeforeValidator(_keepable_up_to(MAX_MESSAGE))]
ToldNote = Annotated[str, StringConstraints(max_length=MAX_NOTE), BeforeValidator(_keepable_up_to(MAX_NOTE))]

ShortText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_printable),
    _short_enough(200),
    _SAID,
]
Sku = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
# A name to look up, not one to create: what no SKU looks like is unknown, not malformed.
SoughtSku = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable), _SAID_OF_SKU]
Note = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=500),
    AfterValidator(_printable),
    _short_enough(500),
    _SAID,
]
