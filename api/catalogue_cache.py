"""What is on sale, remembered by this process. What it answers is as new as if it had been read."""

from collections.abc import Mapping, Sequence

import structlog

from api.outages import Unreachable, asking_postgres
from contracts.catalogue import CatalogueItem, CatalogueProduct
from database.catalogue import Catalogue

log = structlog.get_logger()


class CatalogueCache:
    """Remembers names and prices. Units change with each order, so they are read each time, and with them the version
    of the catalogue, which says whether what is remembered still counts, whichever process changed it.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._version = -1
        self._products: Mapping[str, CatalogueProduct] = {}

    async def items(self) -> Sequence[CatalogueItem]:
        """Everything on sale, by SKU. Raises Unreachable."""
        async with asking_postgres():
            stocked = await self._catalogue.stocked()
            if stocked.version != self._version:
                return await self._read()
        products = self._products
        return [
            CatalogueItem(sku=sku, name=products[sku].name, price=products[sku].price, available=available)
            for sku, available in stocked.available.items()
        ]

    async def warm(self) -> None:
        """Remember what is on sale now, so that no reader has to wait for it."""
        try:
            async with asking_postgres():
                await self._read()
        except Unreachable:
            log.warning("the catalogue's cache was not warmed")

    async def _read(self) -> Sequence[CatalogueItem]:
        version, items = await self._catalogue.versioned_items()
        if version > self._version:
            self._version = version
            self._products = {
                item.sku: CatalogueProduct(sku=item.sku, name=item.name, price=item.price) for item in items
            }
        return items
