"""/shop/sign-in and /shop/sign-out."""

from api.page_areas import SHOP
from api.page_sign_in import sign_in_routes

router = sign_in_routes(SHOP)
