"""The catalogue: what is sold, at what price, and how much of it there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Row, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.audit import Act, AuditAction
from contracts.catalogue import CatalogueItem, CatalogueProduct
from contracts.fulfilments import DEFAULT_WAREHOUSE
from contracts.ids import new_job_id
from contracts.job_types.catalogue import TELL_MERCHANDISER, ItemChange, TellMerchandiser
from contracts.money import Money
from contracts.webhooks import EndpointStatus, WebhookEvent, WebhookEventType, subscriptions_to
from database.audit import record
from database.jobs import NewJob, enqueue
from database.outbox import tell
from database.tables import catalogue_items, catalogue_version, stock, warehouses, webhook_endpoints

_EVENTS = {
    ItemChange.CREATED: WebhookEventType.CATALOGUE_ITEM_CREATED,
    ItemChange.UPDATED: WebhookEventType.CATALOGUE_ITEM_UPDATED,
}


class StockIsReserved(Exception):
    """Fewer units were named than orders already hold; `held` has what they hold where it is so, by warehouse."""

    def __init__(self, held: Mapping[str, int]) -> None:
        super().__init__(f"orders hold {dict(held)}")
        self.held = held


@dataclass(frozen=True)
class Stocked:
    """Units that can be ordered now, by SKU, of everything that this version of the catalogue has."""

    version: int
    available: Mapping[str, int]


class Catalogue:
    """Reads and writes catalogue items."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Single statements need no transaction around them.
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def items(self) -> list[CatalogueItem]:
        """Everything on sale, by SKU."""
        return (await self.versioned_items())[1]

    async def versioned_items(self) -> tuple[int, list[CatalogueItem]]:
        """Everything on sale, by SKU, and the version of the catalogue that has it."""
        async with self._reads.connect() as connection:
            rows = (await connection.execute(_on_sale(catalogue_items))).all()
        return _version_of(rows), [
            CatalogueItem(
                sku=row.sku,
                name=row.name,
                price=Money(amount=row.amount, currency=row.currency),
                available=row.available,
            )
            for row in rows
        ]

    async def stocked(self) -> Stocked:
        """How much there is of everything on sale, without its name and price."""
        async with self._reads.connect() as connection:
            rows = (await connection.execute(_on_sale(catalogue_items.c.sku))).all()
        return Stocked(_version_of(rows), {row.sku: row.available for row in rows})

    async def put(
        self,
        product: CatalogueProduct,
        on_hand: int | Mapping[str, int],
        *,
        mailed_for: str | None = None,
        act: Act | None = None,
    ) -> CatalogueItem:
        """Create or replace an item; what orders hold stays held. Webhooks tell of it, and so does a job of
        `mailed_for`'s, if given, to the merchandiser: both are accepted in the same transaction, and so is the
        operator's `act`.

        `on_hand` counts the units in each warehouse, or in the default one. All others then have none of this item.
        Raises StockIsReserved when that is less anywhere than orders hold there.
        """
        counted = {DEFAULT_WAREHOUSE: on_hand} if isinstance(on_hand, int) else on_hand
        async with self._engine.begin() as connection:
            before = await _put_item(connection, product)
            change = ItemChange.CREATED if before is None else ItemChange.UPDATED
            await _know_warehouses(connection, counted)
            had, available = await _put_stock(connection, product.sku, counted)
            await _tell(connection, product, change, mailed_for)
            if act is not None:
                await record(
                    connection,
                    act,
                    AuditAction.CATALOGUE_PUT,
                    product.sku,
                    before=_shown(before, had) if before is not None else None,
                    after=_shown(product, counted),
                )
            # The last lock, and so no deadlock: who puts another item waits here for our commit.
            await connection.execute(update(catalogue_version).values(version=catalogue_version.c.version + 1))
        return CatalogueItem(sku=product.sku, name=product.name, price=product.price, available=available)


def _on_sale(*columns: FromClause | ColumnElement[Any]) -> Select[Any]:
    """These columns of everything on sale, with the units that can be ordered now, and the catalogue's version."""
    return (
        select(
            *columns,
            func.coalesce(func.sum(stock.c.on_hand - stock.c.reserved), 0).label("available"),
            select(catalogue_version.c.version).scalar_subquery().label("version"),
        )
        .select_from(catalogue_items.outerjoin(stock))
        .group_by(catalogue_items.c.sku)
        .order_by(catalogue_items.c.sku)
    )


def _version_of(rows: Sequence[Row[Any]]) -> int:
    """0 while there is nothing on sale, which nobody needs to remember."""
    return rows[0].version if rows else 0


async def _tell(
    connection: AsyncConnection, product: CatalogueProduct, change: ItemChange, mailed_for: str | None
) -> None:
    event = WebhookEvent(type=_EVENTS[change], id=product.sku, status=change, at=datetime.now(UTC), owner=None)
    somebody_listens = (
        select(webhook_endpoints.c.id)
        .where(
            webhook_endpoints.c.status == EndpointStatus.ACTIVE,
            webhook_endpoints.c.owner.is_(None),
            webhook_endpoints.c.event_types.overlap(list(subscriptions_to(event.type))),
        )
        .exists()
    )
    if await connection.scalar(select(somebody_listens)):
        await tell(connection, event)
    if mailed_for is not None:
        job = NewJob(
            id=new_job_id(),
            type=TELL_MERCHANDISER.name,
            subject=mailed_for,
            arguments=TellMerchandiser(change=change, product=product).model_dump_json(),
            queue=TELL_MERCHANDISER.queue,
        )
        await enqueue(connection, job)


async def _put_item(connection: AsyncConnection, product: CatalogueProduct) -> CatalogueProduct | None:
    """Returns what it was before, if it was there.

    Its row is locked then: whoever else puts this item waits, and never meets us among the rows of its stock.
    """
    values = {"name": product.name, "amount": product.price.amount, "currency": product.price.currency}
    item = insert(catalogue_items).values(sku=product.sku, **values).on_conflict_do_nothing()
    if await connection.scalar(item.returning(catalogue_items.c.sku)) is not None:
        return None
    ours = catalogue_items.c.sku == product.sku
    # No stronger than the update's own lock, which lets rows of its stock be entered.
    before = (await connection.execute(select(catalogue_items).where(ours).with_for_update(key_share=True))).one()
    await connection.execute(update(catalogue_items).where(ours).values(**values, updated_at=func.now()))
    return CatalogueProduct(
        sku=before.sku, name=before.name, price=Money(amount=before.amount, currency=before.currency)
    )


def _shown(product: CatalogueProduct, on_hand: Mapping[str, int]) -> dict[str, Any]:
    return {"name": product.name, "price": product.price.model_dump(), "on_hand": dict(on_hand)}


async def _know_warehouses(connection: AsyncConnection, counted: Mapping[str, int]) -> None:
    """In order of their ids and before any stock is locked, so that items put at once cannot deadlock."""
    new = insert(warehouses).values([{"id": warehouse} for warehouse in sorted(counted)])
    await connection.execute(new.on_conflict_do_nothing())


async def _put_stock(
    connection: AsyncConnection, sku: str, counted: Mapping[str, int]
) -> tuple[Mapping[str, int], int]:
    """Replace the stock of an item; returns what each warehouse had, and how many units can be ordered now.

    Raises StockIsReserved.
    """
    # Reservations lock the rows of warehouses in this order, too.
    rows = (
        await connection.execute(
            select(stock.c.warehouse, stock.c.reserved, stock.c.on_hand)
            .where(stock.c.sku == sku)
            .order_by(stock.c.warehouse.collate("C"))
            .with_for_update()
        )
    ).all()
    reserved: dict[str, int] = {row.warehouse: row.reserved for row in rows}
    on_hand = {**dict.fromkeys(reserved, 0), **counted}
    short = {warehouse: held for warehouse, held in reserved.items() if on_hand[warehouse] < held}
    if short:
        raise StockIsReserved(short)
    units = insert(stock).values(
        [{"sku": sku, "warehouse": warehouse, "on_hand": count} for warehouse, count in on_hand.items()]
    )
    await connection.execute(
        units.on_conflict_do_update(index_elements=["sku", "warehouse"], set_={"on_hand": units.excluded.on_hand})
    )
    had = {row.warehouse: row.on_hand for row in rows if row.on_hand}
    return had, sum(on_hand.values()) - sum(reserved.values())
