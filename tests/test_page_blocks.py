"""Every block of commands in README and the pages is run: what `make test-slow` runs is in test_page_blocks_slow."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import run_program
from page_blocks import PAGES, ROOT, Reader, count_blocks, read_blocks

WITH_BLOCKS = [page for page in PAGES if read_blocks(page)]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path, run_program)
    yield reader
    reader.leave()


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run_in_order(page: Path, reader: Reader) -> None:
    wrong, skipped = [], []
    for block in read_blocks(page):
        if "not run" in block.marks or block.is_slow:
            continue
        if missing := block.missing():
            skipped.append(f"{block} needs {missing}")
            continue
        wrong += reader.run(block)
    assert not wrong, "\n\n".join(wrong)
    if skipped:
        pytest.skip("; ".join(skipped))


def test_most_blocks_are_run() -> None:
    counts = count_blocks()
    sys.stdout.write("".join(f"{count:4} {kind}\n" for kind, count in counts.most_common()))
    not_run = sum(count for kind, count in counts.items() if kind.startswith("not run"))
    assert not_run * 4 < counts.total()
