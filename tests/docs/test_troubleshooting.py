"""Claim: each message that docs/troubleshooting.md quotes is one that the package gives."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
QUOTED = re.findall(r"^\*\*`(.+)`\*\*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def told(node: ast.expr) -> str:
    """The text of a string in the code, with … for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(told(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return told(node.left) + told(node.right)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "…"


@pytest.fixture(scope="module")
def messages() -> list[str]:
    found = []
    for file in (ROOT / "tl_keras").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr | ast.Constant | ast.BinOp):
                found.append(told(node))
    return found


def test_messages_are_quoted():
    assert len(QUOTED) > 10


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_exists(quoted, messages):
    parts = [re.escape(part.strip()) for part in quoted.split("...")]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    assert any(pattern.search(message) for message in messages)
