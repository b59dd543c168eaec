"""The house is as `docs/architecture.md` draws it: who may use whom, and no circles."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pyro_vae"
#: The doors, through which all may be seen: `import pyro_vae` and `python -m pyro_vae`.
DOORS = {"__init__", "__main__"}


def drawn() -> dict[str, list[str]]:
    """What each room may use, in the order of the table."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.split("## The house")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)` \|.*\| ([^|]*) ?\|$", table, re.MULTILINE)
    return {room.rstrip("/"): re.findall(r"`(\w+)`", uses) for room, uses in rows}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The package's modules that a file imports, wherever in it; for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("pyro_vae"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyro_vae"):
            for each in node.names:
                inside = f"{node.module}.{each.name}"
                yield inside if inside in known else node.module


def room_of(module: str) -> str:
    """The file or package at the root that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_the_table_names_every_room_and_rooms_use_only_what_stands_above_them():
    rooms = drawn()
    assert set(rooms) | DOORS == {room_of(module) for module in modules()}
    above: set[str] = set()
    for room, uses in rooms.items():
        assert set(uses) <= above, f"{room} uses {set(uses) - above}, which stand below it"
        above.add(room)


def test_every_import_is_one_that_the_table_allows():
    rooms, known = drawn(), modules()
    used = defaultdict(set)
    for module, path in known.items():
        for other in imported(path, known):
            used[room_of(module)].add(room_of(other))
    for room in rooms:
        stray = (
            used[room] - set(rooms[room]) - {room} - ({"__init__"} if room == "commands" else set())
        )
        assert not stray, f"{room} may not use {sorted(stray)}"
    assert used["__main__"] == {"commands"} and not used["__init__"] & {"analysis", "commands"}


def test_no_module_is_in_a_circle():
    known = modules()
    uses = {module: set(imported(path, known)) - {module} for module, path in known.items()}
    # A package's door names what is behind it: that is no circle.
    uses = {m: {u for u in each if not m.startswith(f"{u}.")} for m, each in uses.items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' -> '.join([*way[way.index(module) :], module])}"
        if module in done:
            return
        for other in sorted(uses[module]):
            visit(other, (*way, module))
        done.add(module)

    for module in sorted(known):
        visit(module, ())


def public_functions() -> dict[str, list[str]]:
    """Where the functions of each public name are defined."""
    found = defaultdict(list)
    for module, path in modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name].append(module)
    return found


#: Names that stand for the same thing wherever they are: every command has a `main`, every source
#: its loss, every data set its download; a registered picture is called like what draws it.
SHARED = {
    "main",
    "published_loss",
    "download_with_torchvision",
    "read_folder",
    "load",
    "row",
    "frames",
}


def test_no_two_functions_of_one_name_do_different_things():
    for name, places in public_functions().items():
        elsewhere = [place for place in places if place != "pyro_vae.analysis.pictures"]
        assert len(elsewhere) <= 1 or name in SHARED, f"{name} is defined in {elsewhere}"
