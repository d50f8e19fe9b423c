"""Every shape that the history of a webhook's delivery can take, but for further attempts, which are all alike."""

from tests.endpoints import OneDelivery, ShopEndpoint
from tests.shop import Shop
from tests.webhooks import answer, hook


async def delivered(shop: Shop) -> OneDelivery:
    async with hook() as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.send()
        await delivery.settled()
    return delivery


async def delivered_at_the_second_attempt(shop: Shop) -> OneDelivery:
    async with hook(answer(500), answer(200)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.send()
        await delivery.settled()
    return delivery


async def cancelled_between_attempts(shop: Shop) -> OneDelivery:
    async with hook(answer(500)) as receiver:
        endpoint = await ShopEndpoint.at(receiver, shop)
        delivery = await endpoint.send()
        await delivery.pausing()
        await delivery.handle.cancel()
        await delivery.settled()
    return delivery
