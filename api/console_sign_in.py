"""/console/sign-in and /console/sign-out: for operators alone."""

from api.page_areas import OPERATORS
from api.page_sign_in import sign_in_routes

router = sign_in_routes(OPERATORS)
