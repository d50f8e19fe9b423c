"""Migrations only add, unless they say since when nothing uses what they take away (docs/deployment.md)."""

import ast
import re
from pathlib import Path

import pytest

VERSIONS = Path(__file__).parents[2] / "database" / "migrations" / "versions"
# Before the first release nothing ran that they could have taken anything from.
BEFORE_THE_FIRST_RELEASE = "0013"
TAKING_AWAY = {"drop_column", "drop_table", "drop_constraint", "rename_table"}
TAKEN_AWAY_IN_SQL = re.compile(
    r"\b(DROP (TABLE|COLUMN|SCHEMA)|RENAME (TO|COLUMN)|SET NOT NULL|ALTER COLUMN \w+ TYPE)\b", re.I
)
ADVICE = """
{name} takes something away that the release before it may use while both run: {found}.
Leave it until a later release, or say in the module since which release nothing uses it: CONTRACTS = "..."
(docs/deployment.md#migrations)
"""


def taken_away(source: str) -> list[str]:
    """What an upgrade takes from the code of before, unless the module says that this code is gone."""
    module = ast.parse(source)
    if any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTRACTS" for node in module.body):
        return []
    upgrading = [node for node in module.body if getattr(node, "name", None) != "downgrade"]
    return [
        ast.unparse(node)
        for part in upgrading
        for node in ast.walk(part)
        if _is_taking_away(node) or (isinstance(node, ast.Constant) and TAKEN_AWAY_IN_SQL.search(str(node.value)))
    ]


def _is_taking_away(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    if node.func.attr != "alter_column":
        return node.func.attr in TAKING_AWAY
    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
    return "new_column_name" in given or "type_" in given or given.get("nullable") == "False"


def test_a_migration_leaves_the_release_before_it_what_it_uses() -> None:
    for path in sorted(VERSIONS.glob("*.py")):
        found = taken_away(path.read_text()) if path.name[:4] > BEFORE_THE_FIRST_RELEASE else []
        assert not found, ADVICE.format(name=path.name, found="; ".join(found))


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("orders", "status")',
        'op.alter_column("orders", "status", new_column_name="state")',
        'op.alter_column("orders", "status", nullable=False)',
        'op.execute("ALTER TABLE orders RENAME COLUMN status TO state")',
    ],
)
def test_what_breaks_the_release_before_is_noticed(line: str) -> None:
    assert taken_away(f"def upgrade():\n    {line}\n")
    assert not taken_away(f"CONTRACTS = 'nothing reads it since 1.4'\ndef upgrade():\n    {line}\n")
    assert not taken_away(f"def upgrade():\n    pass\ndef downgrade():\n    {line}\n")


def test_what_adds_is_let_pass() -> None:
    assert not taken_away('def upgrade():\n    op.add_column("orders", sa.Column("state", sa.Text()))\n')
