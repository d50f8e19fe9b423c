"""Goods to try the embedded stack with."""

import asyncio

from contracts.catalogue import CatalogueProduct
from contracts.money import Money
from database.catalogue import Catalogue
from database.engine import create_engine
from settings import DatabaseSettings

SAMPLE_GOODS = (
    (CatalogueProduct(sku="TEE-BLACK-M", name="T-shirt, black, M", price=Money(amount=1_999)), 10_000),
    (CatalogueProduct(sku="MUG-WHITE", name="Mug, white", price=Money(amount=1_250)), 10_000),
    (
        CatalogueProduct(sku="BIKE-CITY", name="City bike, needs approval", price=Money(amount=74_900)),
        1_000,
    ),
)


def stock_an_empty_catalogue() -> None:
    """Put the sample goods on sale, unless anything is on sale already."""
    asyncio.run(_stock())


async def _stock() -> None:
    url = DatabaseSettings().database_url.get_secret_value()
    engine = create_engine(url, connections=1, application_name="followthrough sample goods")
    try:
        catalogue = Catalogue(engine)
        if not await catalogue.items():
            for product, on_hand in SAMPLE_GOODS:
                await catalogue.put(product, on_hand)
    finally:
        await engine.dispose()
