"""docs/jobs.md fits the code beside it: its blocks are applied to a copy, in order, and checked."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.unit.test_tutorial import BIN, BLOCK, MYPY_CACHE, NOT_COPIED, ROOT, apply, run

DOCUMENT = ROOT / "docs" / "jobs.md"
FUNCTIONS = (
    "from activities.jobs.functions import CatalogueJobs, ImageJobs, ReportJobs, greet, job_functions; "
    "told, images = CatalogueJobs(None, None), ImageJobs('file:///nowhere', None)"
)
BLOCKS = list(BLOCK.finditer(DOCUMENT.read_text()))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is once a reader has followed the document."""
    made = tmp_path_factory.mktemp("jobs") / "copy"
    shutil.copytree(ROOT, made, ignore=NOT_COPIED)
    for block in BLOCKS:
        apply(block, made)
    if (ROOT / MYPY_CACHE).exists():
        shutil.copytree(ROOT / MYPY_CACHE, made / MYPY_CACHE)
    return made


def test_every_block_that_a_reader_copies_is_applied() -> None:
    assert len(BLOCKS) == len(re.findall(r"^```(?:python|diff)$", DOCUMENT.read_text(), re.MULTILINE)) == 5


def test_what_a_reader_then_has_passes_the_linters(copy: Path) -> None:
    files = {block["path"] for block in BLOCKS}

    run(copy, BIN / "ruff", "check", *files)
    run(copy, BIN / "ruff", "format", "--check", *files)
    run(copy, BIN / "lint-imports")
    run(copy, sys.executable, "-m", "mypy", *files)


def test_the_readers_job_is_one_that_the_worker_runs_and_the_api_offers(copy: Path) -> None:
    run(copy, sys.executable, "-c", f"{FUNCTIONS}; assert greet in job_functions(ReportJobs(None, None), told, images)")
    run(copy, sys.executable, "-c", "from contracts.job_types import JOB_TYPES; JOB_TYPES['greetings.greet']")
