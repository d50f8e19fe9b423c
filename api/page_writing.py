"""How templates of pages are read, and how they write money, times and codes."""

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from api.static_files import address_of
from contracts.money import Money


def environment(folder: str) -> Environment:
    """The templates of a folder of ours. Whatever they are given is escaped, and what they miss is an error."""
    made = Environment(
        loader=PackageLoader("api", folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"money": _money, "moment": _moment, "words": _words}
    made.globals["address_of"] = address_of
    return made


def _money(money: Money) -> str:
    return str(money).upper()


def _moment(at: datetime) -> str:
    return f"{at:%-d %B %Y, %H:%M:%S} UTC"


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()
