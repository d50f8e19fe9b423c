"""What is on sale."""

from pydantic import BaseModel

from contracts.money import Money


class CatalogueProduct(BaseModel, frozen=True):
    sku: str
    name: str
    price: Money


class CatalogueItem(CatalogueProduct, frozen=True):
    """`available` is what can be ordered now: units in the warehouse less those that orders hold."""

    available: int
