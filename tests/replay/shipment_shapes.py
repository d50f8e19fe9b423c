"""Every shape that the history of a shipment can take, but for further steps and polls, which are all alike."""

from temporalio.testing import TimeSkipper

from contracts.shipments import HOUR_S, ShipmentStatus
from tests.shipments import Parcel
from tests.shop import Shop


async def shipment_told(shop: Shop) -> Parcel:
    parcel = await Parcel.on_its_way(shop)
    await parcel.tells("dispatched")
    await parcel.until(ShipmentStatus.DISPATCHED)
    await parcel.tells("delivered")
    return parcel


async def shipment_polled(shop: Shop) -> Parcel:
    """The first time that the carrier is asked, it has nothing to tell."""
    parcel = await Parcel.handed_over(shop)
    await parcel.book()
    await parcel.follow()
    skipper = TimeSkipper(shop.client)
    await skipper.fast_forward(parcel.handle, 7 * HOUR_S)
    await parcel.travels("dispatched", "delivered", silent=True)
    await skipper.fast_forward(parcel.handle, 12 * HOUR_S)
    return parcel


async def shipment_given_up(shop: Shop) -> Parcel:
    parcel = await Parcel.handed_over(shop, give_up_after_s=6 * HOUR_S)
    await parcel.book()
    await parcel.follow(TimeSkipper(shop.client).client)
    return parcel


async def shipment_called_back(shop: Shop) -> Parcel:
    parcel = await Parcel.on_its_way(shop)
    await parcel.call_back()
    await parcel.tells("dispatched")
    return parcel
