"""docs/errors.md lists the codes that exist, with the status they come with."""

import re
from pathlib import Path

from api.errors import Problem
from contracts.errors import ErrorCode

DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"


def test_every_code_has_a_problem_and_every_problem_is_documented() -> None:
    documented = re.findall(r"^\| `([a-z_]+)` +\| (\d{3}) +\|", DOCUMENT.read_text(), re.MULTILINE)
    raised = {(kind.code.value, str(kind.status)) for kind in Problem.__subclasses__()}

    assert set(documented) == raised
    assert {code for code, _ in documented} == {code.value for code in ErrorCode}
