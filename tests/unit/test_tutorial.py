"""docs/your-first-workflow.md fits the code beside it: its blocks are applied to a copy, in order, and checked."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack_session import clean_environment

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "your-first-workflow.md"
BLOCK = re.compile(
    r"^\*\*`(?P<path>[^`]+)`\*\*\n\n```(?P<kind>python|diff)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
BIN = Path(sys.executable).parent
MYPY_CACHE = ".mypy_cache"
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")


def apply(block: re.Match[str], copy: Path) -> None:
    """Do what a reader does with this block."""
    path = copy / block["path"]
    if block["kind"] == "python":
        assert not path.exists(), f"{block['path']} exists already; the document says that it is new"
        path.write_text(block["text"])
        return
    for hunk in block["text"].split("@@\n"):
        # A blank line stands for itself.
        lines = [line if line.strip() else " \n" for line in hunk.splitlines(keepends=True)]
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        text = path.read_text()
        assert ("\n" + text).count("\n" + before) == 1, (
            f"{block['path']} does not read like this, or not once:\n{before}"
        )
        path.write_text(("\n" + text).replace("\n" + before, "\n" + after)[1:])


def run(copy: Path, *command: str | Path) -> None:
    """Run something in the copy, with the copy's modules."""
    environment = clean_environment() | {"PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def blocks() -> list[re.Match[str]]:
    return list(BLOCK.finditer(DOCUMENT.read_text()))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, blocks: list[re.Match[str]]) -> Path:
    """The project as it is once a reader has followed the document."""
    made = tmp_path_factory.mktemp("tutorial") / "copy"
    shutil.copytree(ROOT, made, ignore=NOT_COPIED)
    for block in blocks:
        apply(block, made)
    # What `make lint` knows of all other modules: mypy then looks at the reader's alone.
    if (ROOT / MYPY_CACHE).exists():
        shutil.copytree(ROOT / MYPY_CACHE, made / MYPY_CACHE)
    return made


def test_every_block_that_a_reader_copies_is_applied(blocks: list[re.Match[str]]) -> None:
    found = re.findall(r"^```(?:python|diff)$", DOCUMENT.read_text(), re.MULTILINE)

    assert len(blocks) == len(found) > 10


def test_what_a_reader_then_has_passes_the_linters(copy: Path, blocks: list[re.Match[str]]) -> None:
    files = {block["path"] for block in blocks}

    run(copy, BIN / "ruff", "check", *files)
    run(copy, BIN / "ruff", "format", "--check", *files)
    run(copy, BIN / "lint-imports")
    run(copy, sys.executable, "-m", "mypy", *files)


def test_the_readers_route_is_like_every_other(copy: Path) -> None:
    run(copy, sys.executable, "-m", "pytest", "-q", "tests/unit/api/test_routes.py")
