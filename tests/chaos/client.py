"""A customer who wants to know: repeats a request under the same key until there is an answer."""

import asyncio

import httpx

POLL_S = 0.1
ANSWERED_WITHIN_S = 30.0
ADA = {"name": "Ada", "line1": "12 Long St", "city": "Oslo", "postal_code": "0150", "country": "NO"}


class Customer:
    """Places orders through the API."""

    def __init__(self, http: httpx.AsyncClient, token: str, sku: str) -> None:
        self._http = http
        self._token = token
        self._body = {
            "lines": [{"sku": sku, "quantity": 2}],
            "payment_method": "pm_card_visa",
            "ship_to": ADA,
        }

    async def place(self, key: str) -> str | None:
        """Ask once. Returns the order's id, or None when the API died before it answered."""
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": key}
        try:
            response = await self._http.post("/v1/orders", json=self._body, headers=headers)
        except httpx.TransportError:
            return None
        assert response.status_code in (200, 202, 503), response.text
        return None if response.status_code == 503 else str(response.json()["id"])

    async def insist(self, key: str) -> str:
        """Repeat until there is an answer."""
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            while (order_id := await self.place(key)) is None:
                await asyncio.sleep(POLL_S)
        return order_id
