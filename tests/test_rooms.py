"""The layout of the house: short modules, small folders, each with a docstring and a place in CONTRIBUTING.md."""

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT

MOST_LINES = 250
MOST_MODULES = 13
TOP = ("cluster_profiles", "estimator", "launcher", "clusterplan")
# `clusterplan/` has links to the other three, which rglob does not follow.
MODULES = [path for top in TOP for path in sorted((ROOT / top).rglob("*.py"))]
ROOMS = sorted({path.parent for path in MODULES})


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_a_module_is_short_enough_to_read(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("room", ROOMS, ids=relative)
def test_a_room_is_small_enough_to_know(room: Path) -> None:
    if room == ROOT / "clusterplan/cli":
        pytest.skip("cli/ has a module per command")
    modules = [path for path in room.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES


@pytest.mark.parametrize("room", ROOMS, ids=relative)
def test_a_room_says_what_it_is_for(room: Path) -> None:
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))


def test_the_layout_in_contributing_names_every_room() -> None:
    """In the tree each folder stands on a line of its own, four spaces deeper than the one it is in."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text.split("## The house\n")[1].split("```")[1]
    rooms, parents = set(), [""]
    for indent, name in re.findall(r"^( *)(\w+)/", tree, flags=re.MULTILINE):
        depth = len(indent) // 4
        parents = [*parents[: depth + 1], f"{parents[depth]}{name}/"]
        rooms.add(parents[-1].removesuffix("/"))
    assert {relative(room) for room in ROOMS} <= rooms
