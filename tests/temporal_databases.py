"""What Temporal's two databases hold, byte by byte: whoever has a backup of them can read this."""

from dataclasses import dataclass

import asyncpg

from stack.home import Home
from stack.postgres import administrative_url
from stack.temporal_server import DATABASE, VISIBILITY_DATABASE
from tests.stack_session import RunningStack


@dataclass(frozen=True)
class Dump:
    """Every value of every row, as bytes, by `database.table`."""

    tables: dict[str, bytes]

    def where(self, text: str) -> list[str]:
        """The tables that hold this text."""
        return sorted(table for table, content in self.tables.items() if text.encode() in content)


async def dump(stack: RunningStack) -> Dump:
    home = Home(stack.home)
    url = administrative_url(home.secrets(), home.state().ports["postgres"])
    tables: dict[str, bytes] = {}
    for database in (DATABASE, VISIBILITY_DATABASE):
        connection = await asyncpg.connect(url, database=database, ssl=False)
        try:
            names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (name,) in names:
                rows = await connection.fetch(f'SELECT * FROM "{name}"')
                tables[f"{database}.{name}"] = b"\n".join(_bytes(value) for row in rows for value in row.values())
        finally:
            await connection.close()
    return Dump(tables)


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()
