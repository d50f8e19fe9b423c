"""/v1/catalogue and /v1/admin/catalogue: what is on sale."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path
from pydantic import BaseModel
from starlette.responses import Response

from api.auth import Scope
from api.bodies import CatalogueItemBody
from api.dependencies import Acting, Catalogue, CatalogueInMemory, MerchandiserIsMailed
from api.errors import StockIsReserved
from api.outages import asking_postgres
from api.responses import answer
from api.routing import GuardedRoute, problems, requires, requires_token
from contracts.catalogue import CatalogueItem, CatalogueProduct
from contracts.money import Money
from contracts.text import Sku
from database.catalogue import StockIsReserved as HeldByOrders

router = APIRouter(prefix="/v1", tags=["catalogue"], route_class=GuardedRoute)


class CatalogueList(BaseModel, frozen=True):
    """Everything on sale, by SKU."""

    items: tuple[CatalogueItem, ...]


@router.get("/catalogue", response_model=CatalogueList)
@requires_token()
async def list_catalogue(cache: CatalogueInMemory) -> Response:
    """List what is on sale, with prices and how many units can be ordered now."""
    return answer(CatalogueList(items=tuple(await cache.items())))


@router.put("/admin/catalogue/{sku}", response_model=CatalogueItem, responses=problems(StockIsReserved))
@requires(Scope.OPERATOR)
async def put_catalogue_item(
    sku: Annotated[Sku, Path(examples=["TEE-BLACK-M"])],
    body: CatalogueItemBody,
    acting: Acting,
    catalogue: Catalogue,
    cache: CatalogueInMemory,
    mailed: MerchandiserIsMailed,
    after_the_answer: BackgroundTasks,
) -> Response:
    """Create or replace an item. Orders that were accepted keep their price and the stock they hold.

    A warehouse that is not named has no unit of the item any more; naming one creates it. Webhooks and the merchandiser
    are told.
    """
    price = Money(amount=body.price.amount, currency=body.price.currency)
    try:
        async with asking_postgres():
            product = CatalogueProduct(sku=sku, name=body.name, price=price)
            # What must not be lost is accepted in the same transaction.
            item = await catalogue.put(
                product,
                body.on_hand,
                mailed_for=acting.actor if mailed else None,
                act=acting.because(body.note),
            )
    except HeldByOrders as error:
        held = ", ".join(f"{units} in {warehouse}" for warehouse, units in error.held.items())
        raise StockIsReserved(f"Name at least as many units as orders hold: {held}.") from None
    # This may be lost, with its process or in an outage: then the next reader takes a little longer, and nothing else.
    after_the_answer.add_task(cache.warm)
    return answer(item)
