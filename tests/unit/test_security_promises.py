"""docs/security.md names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "security.md"


def test_every_test_that_is_named_as_evidence_exists() -> None:
    text = DOCUMENT.read_text()
    files = re.findall(r"`((?:unit|integration|acceptance|browser|fuzzing)/[\w/]+\.py)`", text)
    names = re.findall(r"`(test_\w+)`", text)

    assert len(files) > 15
    assert [name for name in files if not (TESTS / name).is_file()] == []
    everything = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert [name for name in names if f"def {name}(" not in everything] == []


def test_every_threat_has_an_answer_and_its_evidence() -> None:
    text = DOCUMENT.read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.count("|") == 4]

    cited = set(re.findall(r"\[(\d+)\] ", "\n".join(rows)))
    given = set(re.findall(r"\[(\d+)\]\s`", text))
    assert cited == given
    assert len(cited) >= 13
