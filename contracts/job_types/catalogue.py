"""Jobs that tell of the catalogue. They are asked for by `PUT /v1/admin/catalogue/{sku}`."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from contracts.catalogue import CatalogueProduct
from contracts.jobs import JobType, Retries


class ItemChange(StrEnum):
    CREATED = "created"
    UPDATED = "updated"


class TellMerchandiser(BaseModel):
    """What became of an item, and what it is then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: ItemChange
    product: CatalogueProduct


class MerchandiserTold(BaseModel, frozen=True):
    """The Message-ID of the mail."""

    message_id: str


TELL_MERCHANDISER = JobType(
    "catalogue.tell_merchandiser",
    summary="Mails the merchandiser that an item was created or replaced.",
    arguments=TellMerchandiser,
    result=MerchandiserTold,
    # A mail server may be away for half a day.
    retries=Retries(attempts=100, first_after_s=1, at_most_s=600),
    timeout_s=30,
    offered=False,
)
