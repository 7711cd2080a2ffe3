"""The house: who may import whom, how long a file and a function may be, and what an import costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightning_lrsched

PACKAGE = Path(lightning_lrsched.__file__).parent
NAME = PACKAGE.name

CORE = ("checks", "units", "shapes", "phases", "timeline", "room", "warmup", "schedules", "plan")
"""The pure core, from the ground up: each room may import those before it, and none knows torch."""

TORCH = (
    *("tracks", "real_steps", "scheduler", "torch_cycles", "driven", "rehearsal"),
    *("factories", "torch_schedules", "torch_names"),
    "expression",
)
"""What knows torch but not lightning, from the ground up."""

ROOMS: dict[str, tuple[str, ...]] = {
    **{room: CORE[:floor] for floor, room in enumerate(CORE)},
    "describe": ("shapes", "phases", "timeline"),
    "preview": (*CORE, "describe"),
    **{room: (*CORE, *TORCH[:floor]) for floor, room in enumerate(TORCH)},
    "masking": (),
    "sqlite_uri": (),
    "tracking": ("masking", "sqlite_uri"),
    "compare": ("masking", "sqlite_uri"),
    "compare.kept_steps": ("tracking",),
    "compare.shared": ("tracking",),
    "configs": ("checks", "masking"),
    "sweep": (*CORE, *TORCH, "callbacks", "configs", "masking"),
    "sweep.selection": (*CORE, "configs", "compare"),
    "sweep.store": (*CORE, "configs", "masking", "sqlite_uri", "tracking"),
    "callbacks": (*CORE, "describe", *TORCH),
    "callbacks.mlflow_tracker": (*CORE, "describe", *TORCH, "callbacks", "masking", "tracking", "configs"),
    "callbacks.run_setup": ("masking", "tracking"),
    "callbacks.tracked_cycles": ("tracking",),
    "callbacks.validations": ("tracking",),
    "ensemble": ("checks", "compare"),
    "lightning_cli": (*CORE, *TORCH, "callbacks", "masking"),
    "cli": (*CORE, "describe", "preview", *TORCH, "callbacks", "masking", "compare", "configs", "sweep"),
    "cli.replay": ("masking", "tracking"),
    "cli.cycles": ("ensemble",),
    "cli.ensemble": ("ensemble",),
    "": (*CORE, *TORCH, "callbacks"),
}
"""A room and the rooms of this package that it may import; a room may always import its own."""

LATE = {
    **dict.fromkeys(("plan", "timeline", "torch_schedules"), ("preview",)),
    "callbacks.cycles.start": ("compare",),
}
"""Rooms that may be imported inside a function besides: for a notebook, and for the direction of a metric."""

HEAVY = ("torch", "lightning", "mlflow", "matplotlib", "rich")
FOREIGN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*CORE, "describe"), HEAVY),
    **dict.fromkeys(TORCH, ("lightning", "mlflow", "matplotlib", "rich")),
    "preview": ("torch", "lightning", "mlflow"),
    "tracking": ("torch", "lightning", "rich"),
    "compare": ("torch", "lightning"),
    "configs": HEAVY,
    "callbacks": ("mlflow", "matplotlib", "rich"),
    "callbacks.progress_line": ("mlflow", "matplotlib"),
}
"""A room and the libraries that it must not import, at its top or inside a function."""

LAZY = ("mlflow", "matplotlib", "rich", "plotext", "plotly", "sklearn")
"""Libraries that nothing imports at its top, because not every user has or needs them."""

FILES = [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in sorted(PACKAGE.rglob("*.py"))]
MOST_FILE_LINES, MOST_FUNCTION_LINES = 400, 40


def module_of(path: Path) -> str:
    """Return a file's dotted name inside the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str, rooms: dict[str, tuple[str, ...]]) -> str:
    """Return the entry that speaks of a module: the one with the longest name that leads to it."""
    fits = [room for room in rooms if module == room or module.startswith(f"{room}.")]
    return max(fits, key=len, default="")


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of every module that a piece of code imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            yield node.module or ""
            if node.module == NAME:
                yield from (f"{NAME}.{alias.name}" for alias in node.names if (PACKAGE / f"{alias.name}.py").exists())


def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES)
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    room = room_of(module, ROOMS)
    assert room or not module, f"{module} stands in no room of the table"
    allowed = (*ROOMS[room], module.partition(".")[0])
    top = set(imports(_top(parsed(path))))
    for name in imports(parsed(path)):
        if name not in top and name.removeprefix(f"{NAME}.") in LATE.get(module, ()):
            continue
        if name.partition(".")[0] == NAME:
            inner = name.partition(".")[2]
            assert inner or not module, f"{module} imports the package as a whole"
            assert inner.partition(".")[0] in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("path", FILES)
def test_foreign_imports(path: Path) -> None:
    refused = FOREIGN.get(room_of(module_of(path), FOREIGN), ())
    found = {name.partition(".")[0] for name in imports(_without(parsed(path)))}
    assert not found & set(refused)


def _without(tree: ast.Module, *kinds: type[ast.AST]) -> ast.Module:
    """Return a module without its type-checking blocks, and without the bodies of nodes of some kinds."""
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if typing_only or isinstance(node, kinds):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _top(tree: ast.Module) -> ast.Module:
    """Return what runs when a module is imported: everything but function bodies and type-checking blocks."""
    return _without(tree, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize("path", FILES)
def test_optional_libraries_are_imported_where_they_are_used(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(_top(parsed(path)))} & set(LAZY)


def test_importing_the_package_imports_no_optional_library() -> None:
    # Some of them are loaded by lightning itself where they are installed, so the difference is what counts.
    code = (
        "import sys, lightning.pytorch, torch; before = set(sys.modules); "
        "import lightning_lrsched as ours; [getattr(ours, name) for name in ours.__all__]; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        f"print(sorted(new & set({LAZY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_needs_no_module_of_posix() -> None:
    code = (
        "import sys, lightning.pytorch, torch; sys.modules['fcntl'] = None; "
        "import lightning_lrsched as ours; [getattr(ours, name) for name in ours.__all__]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


@pytest.mark.parametrize("path", FILES)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            described = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            length = (node.end_lineno or 0) - node.lineno + 1 - described
            assert length <= MOST_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES)
def test_no_room_without_a_name(path: Path) -> None:
    assert not {"utils", "helpers", "misc", "common"} & set(module_of(path).split("."))


def test_public_names_are_sorted_and_there() -> None:
    names = lightning_lrsched.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    assert len(set(names)) == len(names)
    assert all(hasattr(lightning_lrsched, name) for name in names)


def test_the_table_is_needed() -> None:
    rooms = {room_of(module_of(path), ROOMS) for path in PACKAGE.rglob("*.py")}
    assert rooms == set(ROOMS)
