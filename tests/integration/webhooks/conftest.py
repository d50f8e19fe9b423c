"""Owners of endpoints over HTTP, beside the shop that reaches behind it."""

from tests.acceptance.conftest import door, http

__all__ = ["door", "http"]
