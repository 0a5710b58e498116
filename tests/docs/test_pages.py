"""Claim: every command and every snippet of README.md and the documentation works."""

import os
from pathlib import Path

import pytest
from doc_blocks import Reader, blocks, is_generated
from doc_workspace import Workspace

ROOT = Path(__file__).parents[2]
# docs/start.md comes right after README.md, which makes the same run.
PAGES = [
    page
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
    + sorted(ROOT.glob("docs/*/*.md"))
    if page.name != "CHANGELOG.md" and not is_generated(page)
]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Workspace:
    # The processes of pytest-xdist have their folders in one folder.
    shared = tmp_path_factory.getbasetemp().parent / "pages"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shared = tmp_path_factory.getbasetemp() / "shared"
    return Workspace(tmp_path_factory.mktemp("pages"), shared)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page, workspace, monkeypatch):
    with workspace.opened(monkeypatch):
        reader = Reader(workspace)
        for block in blocks(page):
            try:
                reader.read(block)
            except BaseException as error:
                error.add_note(f"{page.relative_to(ROOT)}, line {block.line}:\n{block.source}")
                raise
