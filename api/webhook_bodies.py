"""What clients send about webhook endpoints."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from api.bodies import NoteBody
from contracts.text import Note
from contracts.webhooks import EndpointStatus, Subscription

MAX_EVENT_TYPES = 50


def _each_once(event_types: list[str]) -> list[str]:
    return list(dict.fromkeys(event_types))


Url = Annotated[
    str, Field(description="https://..., on the public Internet", examples=["https://example.com/hooks/followthrough"])
]
EventTypes = Annotated[
    list[Subscription],
    Field(min_length=1, max_length=MAX_EVENT_TYPES, examples=[["order.*", "account.confirmed"]]),
    AfterValidator(_each_once),
]
Description = Annotated[Note, Field(examples=["our warehouse"])]


class EndpointBody(NoteBody, frozen=True):
    """Where webhooks are to be sent, and which."""

    url: Url
    event_types: EventTypes
    description: Description | None = None


class EndpointChangesBody(NoteBody, frozen=True):
    """What is to be changed of an endpoint; what is left out stays."""

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    status: EndpointStatus | None = None

    @model_validator(mode="after")
    def _only_the_description_can_be_empty(self) -> Self:
        empty = [
            name
            for name in self.model_fields_set
            if getattr(self, name) is None and name not in ("description", "note")
        ]
        if empty:
            raise ValueError(f"must not be null: {', '.join(sorted(empty))}")
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """The new values, by column."""
        return self.model_dump(exclude_unset=True, exclude={"note"})
