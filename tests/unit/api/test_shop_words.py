"""Whatever becomes of an order, the shop has words for it."""

from enum import StrEnum
from typing import Any

import pytest

from api.fulfilment_resource import PaymentStatus
from api.shop_page import EVENTS, PARCELS, PAYMENTS, STATUSES
from contracts.fulfilments import FulfilmentStatus
from contracts.orders import EventType, OrderStatus


@pytest.mark.parametrize(
    ("words", "codes"),
    [(STATUSES, OrderStatus), (EVENTS, EventType), (PARCELS, FulfilmentStatus), (PAYMENTS, PaymentStatus)],
)
def test_there_are_words_for_every_code(words: dict[StrEnum, Any], codes: type[StrEnum]) -> None:
    assert set(words) == set(codes)
