"""The repository keeps its own rules: what imports what, what an import may touch, what is shipped,
what is never written.
"""

import ast
import graphlib
import inspect
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbval.plugin
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from PIL import Image

from tools import build_lessons

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minimagen"
# From the bottom up: a module imports from its own package and from those before it. The packages
# "mathematics" and "run" lie flat in minimagen/; tools and experiments lie beside it.
PACKAGES = ("mathematics", "data", "evaluation", "run", "cli", "lessons", "experiments", "tools")
# In the order of its derivation: here a module imports only from modules before it.
MATHEMATICS = (
    *("files", "pixels", "conditioning", "noise", "ddpm", "denoiser", "variational", "ideal"),
    *("objective", "layers", "conditioned", "unet", "efficient_unet", "configs"),
    *("training", "log"),
    *("samplers", "guidance", "thresholding", "text", "superres"),
    *("families", "checkpoint", "cascade"),
)
RUN = ("recipes", "learner", "state", "run")


def dotted(path: Path) -> str:
    """The name by which a source file is imported: minimagen.noise, minimagen.data for its
    `__init__`.
    """
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = sorted({dotted(path) for path in SOURCES} - {"minimagen", "minimagen.__main__"})
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SCRIPTS = sorted(path for name in ("tools", "experiments") for path in (ROOT / name).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [
    Requirement(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines
]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def files() -> list[Path]:
    """What git would carry: the tracked files, and those about to be."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def run(code: str, folder: Path, *path: Path) -> str:
    """Run Python code in a process of its own, in `folder`, with `path` as the first places to
    import from.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


# --- the order of the modules ---


def imports(module: ast.Module) -> set[str]:
    """The modules of the project that source code imports anywhere, also inside functions."""
    seen = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            seen |= {alias.name for alias in node.names if is_module(alias.name)}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written from the top: from minimagen.noise import x"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            if is_module(node.module):
                seen |= {name if is_module(name) else home(name) for name in names}
    return seen - {"minimagen"}


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or a package of the project."""
    path = ROOT / name.replace(".", "/")
    return name.split(".")[0] in ("minimagen", "tools", "experiments") and (
        path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    )


def home(name: str) -> str:
    """The module of a name in it; of a name of the front page the module that it comes from."""
    import minimagen

    module, _, short = name.rpartition(".")
    return minimagen._HOMES.get(short, module) if module == "minimagen" else module


def package(name: str) -> str:
    """The package, of PACKAGES, that a module belongs to."""
    top, _, inner = name.partition(".")
    room = inner.partition(".")[0]
    flat = {"": "mathematics", "__main__": "cli"} | dict.fromkeys(RUN, "run")
    flat |= dict.fromkeys(MATHEMATICS, "mathematics")
    return flat.get(room, room) if top == "minimagen" else top


def too_high(name: str, imported: set[str]) -> list[str]:
    """Complaints about the imports of a module that come from above it."""
    rank, complaints = PACKAGES.index(package(name)), []
    for other in sorted(imported):
        above = PACKAGES.index(package(other)) > rank
        if package(other) == package(name) == "mathematics":
            here, there = (MATHEMATICS.index(one.split(".")[1]) for one in (name, other))
            above = there > here
        if above:
            complaints.append(
                f"{name} ({package(name)}) imports {other} ({package(other)}), which comes after it"
            )
    return complaints


def test_every_module_has_its_place_in_the_order():
    flat = {name.split(".")[1] for name in MODULES if package(name) not in PACKAGES[1:]}
    assert flat == set(MATHEMATICS), "a flat module has its place in MATHEMATICS or in RUN"
    assert {package(dotted(path)) for path in (*SOURCES, *SCRIPTS)} == set(PACKAGES)
    assert all((PACKAGE / f"{name}.py").is_file() for name in RUN)
    assert len({*MATHEMATICS, *RUN}) == len(MATHEMATICS) + len(RUN)


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=dotted)
def test_a_module_imports_only_from_modules_before_it(path):
    assert too_high(dotted(path), imports(tree(path))) == []


def test_an_import_from_above_is_seen():
    assert too_high("minimagen.noise", {"minimagen.files", "minimagen.denoiser"}) == [
        "minimagen.noise (mathematics) imports minimagen.denoiser (mathematics), "
        "which comes after it"
    ]
    assert too_high("minimagen.data.base", {"minimagen.cascade", "minimagen.recipes"}) == [
        "minimagen.data.base (data) imports minimagen.recipes (run), which comes after it"
    ]
    assert len(too_high("minimagen.lessons.report", {"tools.figures", "minimagen.cli"})) == 1


def test_no_module_imports_itself_by_way_of_others():
    graph = {dotted(path): imports(tree(path)) for path in (*SOURCES, *SCRIPTS)}
    list(graphlib.TopologicalSorter(graph).static_order())  # a CycleError names the cycle
    graph["minimagen.data.base"] |= {"minimagen.data"}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(graph).static_order())


def package_imports() -> set[tuple[str, str]]:
    """The pairs of packages of which one imports from the other, notebooks included."""
    sources = {package(dotted(path)): set() for path in (*SOURCES, *SCRIPTS)}
    for path in (*SOURCES, *SCRIPTS):
        sources[package(dotted(path))] |= imports(tree(path))
    sources["notebooks"] = set().union(*(imports(notebook_code(path)) for path in NOTEBOOKS))
    pairs = {(above, package(name)) for above, names in sources.items() for name in names}
    return {(above, below) for above, below in pairs if above != below}


def notebook_code(path: Path) -> ast.Module:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return ast.parse("\n".join(code))


def reachable(start: str, arrows: set[tuple[str, str]]) -> set[str]:
    """All that lies at the end of one arrow or more."""
    ends = {below for above, below in arrows if above == start}
    return ends.union(*(reachable(below, arrows) for below in ends))


def test_the_drawing_of_the_architecture_is_true():
    drawing = re.search(r"```mermaid\n(.*?)```", CONTRIBUTING, re.DOTALL)[1]
    nodes = dict(re.findall(r'^ +(\w+)\["(.+)"\]$', drawing, re.MULTILINE))
    arrows = set(re.findall(r"^ +(\w+) --> (\w+)$", drawing, re.MULTILINE))
    assert set(nodes) == {*PACKAGES, "notebooks"}
    places = [word for label in nodes.values() for word in label.split() if "/" in word]
    assert len(places) == len(nodes)
    assert [place for place in places if not (ROOT / place).exists()] == []
    real = package_imports()
    assert arrows - real == set(), "an arrow that no import needs"
    hidden = {pair for pair in real if pair[1] not in reachable(pair[0], arrows)}
    assert hidden == set(), "an import that no arrow shows"


def table(heading: str) -> list[list[str]]:
    """The rows of the first table beneath a heading of CONTRIBUTING.md, cell by cell."""
    part = CONTRIBUTING.partition(f"### {heading}\n")[2].partition("\n#")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_table_of_modules_names_every_module_once_and_no_other():
    names = [name for row in table("The modules") for name in re.findall(r"`([\w.]+)`", row[0])]
    inits = {name for name in MODULES if (ROOT / name.replace(".", "/")).is_dir()}
    flat_packages = {f"minimagen.{name}" for name in MATHEMATICS} & inits
    parts = {name for name in MODULES if name.rpartition(".")[0] in flat_packages}
    checks = {name for name in MODULES if name.startswith("minimagen.lessons.checks.")}
    listed = set(MODULES) - parts - checks - (inits - flat_packages - {"minimagen.lessons.checks"})
    assert sorted(f"minimagen.{name}" for name in names) == sorted(listed)


def test_the_table_of_modules_has_the_order_of_the_mathematics():
    names = [name for row in table("The modules") for name in re.findall(r"`([\w.]+)`", row[0])]
    assert [name for name in names if name in MATHEMATICS] == [*MATHEMATICS]


def test_the_code_of_every_lesson_is_where_the_table_says():
    rows = dict(table("Where a lesson's code is"))
    titles = {path: json.loads(path.read_text("utf-8"))["cells"][0]["source"] for path in NOTEBOOKS}
    heads = ["".join(title).splitlines()[0][2:].replace(" · ", " ", 1) for title in titles.values()]
    assert [*rows] == heads
    assert len(rows) == 15
    for (title, cell), path in zip(rows.items(), NOTEBOOKS, strict=True):
        name = cell.strip("`")
        assert name in MODULES
        assert name in imports(notebook_code(path)), f"{path.name} does not import from {name}"
        place = ROOT / name.replace(".", "/")
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        said = re.findall(r"Lessons? ((?:\d\d(?:, | and )?)+)", ast.get_docstring(tree(file)))
        assert title[:2] in " ".join(said), f"the docstring of {name} does not name the lesson"


def test_every_form_of_import_is_seen():
    code = "import minimagen.noise, torch\ndef f():\n from minimagen.text import x\n"
    code += "from minimagen import pixels, __version__, guided\nfrom tools import figures\n"
    code += "from minimagen.data import emoji, Folder\nfrom minimagen.lessons import checks"
    names = {"noise", "text", "pixels", "guidance", "data", "data.emoji", "lessons.checks"}
    assert imports(ast.parse(code)) == {f"minimagen.{name}" for name in names} | {"tools.figures"}
    with pytest.raises(AssertionError, match="imports are written from the top"):
        imports(ast.parse("from .noise import x"))


# --- what an import may touch ---

IMPORT_ALL = f"""
import importlib
for name in {MODULES}:
    importlib.import_module(name)
import minimagen
"""
GUARD = """
import os, sys, sysconfig
import torch, numpy, safetensors.torch, PIL.Image, tqdm
PATHS = {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix}
HOMES = tuple(os.path.realpath(p) for p in PATHS)

def guard(event, args):
    if event.startswith(("socket.", "subprocess.", "os.mkdir", "os.rename", "os.remove")):
        raise RuntimeError(f"an import caused {event} {args}")
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(args[0]))
        if not path.endswith((".py", ".pyc", ".so")) and not path.startswith(HOMES):
            raise RuntimeError(f"an import opened {path}")

sys.addaudithook(guard)
"""
LIGHT_ONLY = """
import sys
HEAVY = {"transformers", "tokenizers", "accelerate", "huggingface_hub", "scipy", "resvg_py"}
HEAVY |= {"matplotlib", "diffusers"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            message = f"No module named {name!r} (as on a machine without it)"
            raise ModuleNotFoundError(message, name=name)

sys.meta_path.insert(0, Absent())
"""


def test_importing_every_module_opens_no_file_and_no_socket(tmp_path):
    run(GUARD + IMPORT_ALL, tmp_path, ROOT)


@pytest.mark.parametrize(
    "deed", ["open(__import__('pathlib').Path.home() / 'x', 'w')", "__import__('socket').socket()"]
)
def test_the_guard_of_the_import_sees_a_file_and_a_socket(deed, tmp_path):
    with pytest.raises(AssertionError, match="an import (opened|caused)"):
        run(GUARD + deed, tmp_path, ROOT)


def test_importing_every_module_needs_only_the_five_light_packages(tmp_path):
    run(LIGHT_ONLY + IMPORT_ALL, tmp_path, ROOT)
    with pytest.raises(AssertionError, match="as on a machine without it"):
        run(LIGHT_ONLY + "import scipy.linalg", tmp_path, ROOT)


def test_importing_minimagen_alone_does_not_import_torch(tmp_path):
    assert run("import sys, minimagen; print('torch' in sys.modules)", tmp_path, ROOT) == "False"


def test_the_names_of_the_front_page_come_from_their_modules():
    import minimagen

    assert set(minimagen._HOMES.values()) <= set(MODULES)
    for name, module in minimagen._HOMES.items():
        assert getattr(minimagen, name).__module__ == module
    with pytest.raises(AttributeError, match="nonsense"):
        _ = minimagen.nonsense


# --- the rules of writing ---


def serialisers(module: ast.Module) -> set[str]:
    """Every way that a source file has of running code hidden in a data file."""
    roots, calls = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}, set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            calls |= {alias.name for alias in node.names if alias.name.split(".")[0] in roots}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in roots:
            calls.add(node.module)
        elif isinstance(node, ast.ImportFrom) and node.module == "torch":
            calls |= {alias.name for alias in node.names if alias.name in ("load", "save")}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            pair = f"{node.value.id}.{node.attr}"
            calls |= {pair} & {
                "torch.load",
                "torch.save",
                "accelerator.save_state",
                "accelerator.load_state",
            }
        elif (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and getattr(node.value, "value", True)
        ):
            calls.add("allow_pickle")
    return calls


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_module_reads_and_writes_no_pickle(path):
    assert not serialisers(tree(path))


def test_every_form_of_pickle_is_seen():
    code = "import pickle\nfrom joblib import dump\nfrom torch import load\ntorch.save(x, y)\n"
    code += "numpy.load(z, allow_pickle=True)"
    assert serialisers(ast.parse(code)) == {
        "pickle",
        "joblib",
        "load",
        "torch.save",
        "allow_pickle",
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_module_and_every_public_name_in_it_says_what_it_is(path):
    module = tree(path)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [
        node
        for node in module.body
        if isinstance(node, definitions) and not node.name.startswith("_")
    ]
    silent = [node.name for node in public if not ast.get_docstring(node)]
    assert not silent
    assert ast.get_docstring(module)


# --- what stays small, and what nobody does ---

LONG = "Longer than 300 lines because"  # in a module's docstring, followed by the reason


def functions(module: ast.Module) -> list:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(module) if isinstance(node, kinds)]


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_a_module_has_at_most_300_lines_or_says_why(path):
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= 300 or LONG in " ".join(ast.get_docstring(tree(path)).split())


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=dotted)
def test_a_function_has_at_most_40_lines(path):
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions(tree(path))}
    assert {name: length for name, length in lengths.items() if length > 40} == {}


# A script finds the library since it is run from the root, or since the library is installed.
PATH_CHANGE = re.compile(
    r"\bsys\s*\.\s*path\s*(?:\.\s*(?:insert|append|extend|remove|pop|clear)\b|\[[^\]]*\]\s*=|\+?=(?!=))"
    r"|\bfrom sys import [^\n]*\bpath\b|\baddsitedir\b"
)


def test_no_python_file_changes_where_imports_are_looked_for():
    paths = [path for path in files() if path.suffix in (".py", ".ipynb")]
    changes = {
        str(path.relative_to(ROOT)): match[0]
        for path in paths
        if (match := PATH_CHANGE.search(path.read_text(encoding="utf-8")))
    }
    assert changes == {}


def test_a_change_of_the_path_is_seen():
    for change in (".insert(0, x)", ".append(x)", "[:0] = [x]", " += [x]", " = x"):
        assert PATH_CHANGE.search("sys." + "path" + change)
    assert not PATH_CHANGE.search("sys." + "path == x or sys." + "path[0]")


def patches(module: ast.Module) -> set[str]:
    """How source code changes the library from outside: mock, setattr, or an assignment into one of
    its modules.
    """
    mine = {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minimagen"
        for alias in node.names
    }
    seen = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            seen |= {name for name in names if "mock" in name.split(".")}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr":
            seen |= {ast.unparse(node)} if root_name(node.args[0]) in mine else set()
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            seen |= {ast.unparse(node)} if root_name(node) in mine else set()
    return seen


def root_name(node: ast.expr) -> str:
    """`a` of a.b[0].c, and "" where an expression does not begin with a name."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return getattr(node, "id", "")


@pytest.mark.parametrize("path", SCRIPTS, ids=dotted)
def test_a_script_does_not_patch_the_library(path):
    assert patches(tree(path)) == set()


def test_every_form_of_patching_is_seen():
    code = (
        "from minimagen import layers\nfrom minimagen.data.language import FRAMES\nimport numpy\n"
    )
    harmless = "numpy.x = 1\nlayer = layers.positions\nlayer = FRAMES[0]"
    assert patches(ast.parse(code + harmless)) == set()
    code += "layers.positions = f\nFRAMES[0] = 'a'\nsetattr(layers, 'norm', g)\ndel FRAMES[1]\n"
    assert patches(ast.parse(code + "from unittest import mock\nimport unittest.mock")) == {
        *("layers.positions", "FRAMES[0]", "setattr(layers, 'norm', g)", "FRAMES[1]"),
        *("mock", "unittest.mock"),
    }


CLOCKS = {"time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns"}
CLOCKS |= {"process_time", "process_time_ns", "thread_time", "thread_time_ns"}
HOUR = 3600


def clocks(module: ast.Module) -> set[str]:
    """Where source code reads a clock, or gives up after less than an hour."""
    seen = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and root_name(node) == "time" and node.attr in CLOCKS:
            seen.add(f"time.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            seen |= {alias.name for alias in node.names if alias.name in CLOCKS}
        elif isinstance(node, ast.keyword) and node.arg == "timeout":
            limit = node.value.value if isinstance(node.value, ast.Constant) else None
            seen |= {f"timeout={limit}"} if limit is not None and limit < HOUR else set()
    return seen


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=dotted)
def test_no_clock_decides_a_test(path):
    assert clocks(tree(path)) == set()


def test_every_clock_is_seen():
    code = "import time\nfrom time import monotonic\ntime.sleep(1)\nf(timeout=one.HOUR)"
    assert clocks(ast.parse(code)) == {"monotonic"}
    code += "\ntime.time()\nassert time.process_time() < 10\nrun(x, timeout=240)"
    assert clocks(ast.parse(code)) == {*("monotonic", "time.time", "time.process_time")} | {
        "timeout=240"
    }


def test_a_cell_of_a_notebook_may_take_an_hour():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    limits = re.findall(r"--nbval-(cell|kernel-startup)-timeout=(\d+)", makefile)
    assert dict(limits) == {"cell": str(HOUR), "kernel-startup": str(HOUR)}
    assert build_lessons.LIMIT == HOUR
    # the name that nbval has for how long it waits for outputs
    assert "self.output_timeout = " in inspect.getsource(nbval.plugin.IPyNbCell)
    item = SimpleNamespace(output_timeout=5)
    runpy.run_path(str(ROOT / "notebooks" / "conftest.py"))["pytest_itemcollected"](item)
    assert item.output_timeout == HOUR


# Written as patterns, so that this file does not hold what it looks for.
UNWANTED = re.compile(
    rb"(?<![\w.$~{}-])/(?:work|root)/\w|/t[m]p/w\b|/home/[a-z]|/Users/\w"
    rb"|\b(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com|net)\b|\bdownload\.pytorch\b"
)


def test_no_file_names_a_private_path_or_the_host_of_a_registry():
    unwanted = {
        str(path.relative_to(ROOT)): match[0]
        for path in files()
        if (match := UNWANTED.search(path.read_bytes()))
    }
    assert not unwanted


def test_a_private_path_and_a_host_would_be_found():
    for text in ("see /%s/x", "in '/%s/a'", "at //files.%s.org/p"):
        for word in ("work", "root", "pythonhosted"):
            wanted = (word == "pythonhosted") == ("files" in text)
            assert bool(UNWANTED.search((text % word).encode())) == wanted, (text, word)
    for text in (
        b"docs/work/plan",
        b"a network/root/b",
        b"debian and npm packages",
        b"~/work/mine",
    ):
        assert not UNWANTED.search(text), text


# --- what is shipped ---


def test_the_repository_stays_small():
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in files()}
    assert {name: size for name, size in sizes.items() if size > 15_000_000} == {}
    assert sum(sizes.values()) < 50_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(folder.glob("minimagen_lessons-*.whl"))


def test_the_wheel_carries_the_package_and_its_data_and_nothing_else(wheel):
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    names = [path.relative_to(ROOT) for path in files()]
    shipped = [
        path.relative_to("data")
        for path in names
        if path.parts[0] == "data" and path.name != "training_log.jsonl"
    ]
    data = {f"minimagen/_data/{path.as_posix()}" for path in shipped}
    assert carried == data | {path.as_posix() for path in names if path.parts[0] == "minimagen"}


def test_an_installed_wheel_finds_its_data_inside_itself(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    shipped = run(
        "import minimagen.files; print(minimagen.files.shipped('weights'))", tmp_path, tmp_path
    )
    assert Path(shipped).resolve() == (tmp_path / "minimagen" / "_data" / "weights").resolve()


@pytest.mark.parametrize("weights", ["tiny", "shipped"])
def test_an_installed_wheel_draws_away_from_the_checkout(wheel, tmp_path, tiny_cascade, weights):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    shipped = tmp_path / "site" / "minimagen" / "_data" / "weights"
    stages = json.loads((shipped / "cascade.json").read_text())["stages"]
    if weights == "shipped" and not all(
        (shipped / stage / "stage.json").exists() for stage in stages
    ):
        pytest.skip("data/weights does not hold every trained stage yet")
    away = tmp_path / "away"
    away.mkdir()
    flags = (
        ["--weights", str(tiny_cascade)] if weights == "tiny" else ["--size", "64", "--steps", "4"]
    )
    command = [
        sys.executable,
        "-m",
        "minimagen",
        "draw",
        "a large red circle",
        "--device",
        "cpu",
        "--quiet",
        *flags,
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONSAFEPATH": "1",
    }
    done = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "peak memory" in done.stdout
    with Image.open(away / "drawings" / "00-a-large-red-circle.png") as picture:
        assert picture.size == ((128, 64) if weights == "tiny" else (64, 64))
        assert picture.text["Description"] == "a large red circle"
    home = "import minimagen, pathlib; print(pathlib.Path(minimagen.__file__).parents[1])"
    assert Path(run(home, away, tmp_path / "site")).resolve() == (tmp_path / "site").resolve()


# --- what is declared ---


def test_the_version_is_the_same_everywhere():
    from minimagen import __version__

    assert PROJECT["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_command_is_declared():
    assert PROJECT["scripts"] == {"minimagen": "minimagen.cli:main"}


def test_the_command_answers_to_help_as_a_module_too():
    done = subprocess.run(
        [sys.executable, "-m", "minimagen", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage: minimagen" in done.stdout


def test_a_test_cannot_reach_another_machine():
    with socket.socket() as probe, pytest.raises(OSError, match="tests run offline"):
        probe.connect(
            ("255.255.255.255", 9)
        )  # the broadcast address: no packet leaves even where the guard is broken


def test_requirements_are_open_ranges():
    operators = {clause.operator for requirement in DIRECT for clause in requirement.specifier}
    assert operators == {">="}
    assert all(requirement.specifier for requirement in DIRECT)
    assert PROJECT["requires-python"] == ">=3.10"


def test_every_requirement_is_pinned_inside_its_range():
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)) for pin in pins()}
    assert {clause.operator for clause in pinned.values()} == {"=="}
    assert len(pinned) == len(pins())
    for requirement in DIRECT:
        if requirement.marker is None:
            assert requirement.specifier.contains(
                pinned[canonicalize_name(requirement.name)].version
            ), requirement
    assert pinned["torch"].version == "2.13.0"


def test_the_conda_environment_agrees_with_the_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert (environment["name"], pip) == ("minimagen", "pip")
    assert python == "python" + PROJECT["requires-python"]
    constraints, project = packages["pip"]
    assert (ROOT / constraints.removeprefix("-c ")).is_file()
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", project)[1].split(",")
    assert {"notebooks", "test"} <= set(extras) <= set(EXTRAS)


def test_continuous_integration_runs_make_test_on_every_python():
    workflow = yaml.safe_load(
        (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    )["jobs"]["test"]
    pythons = workflow["strategy"]["matrix"]["python"]
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(version) for version in pythons)
    assert {f"Programming Language :: Python :: {version}" for version in pythons} <= set(
        PROJECT["classifiers"]
    )
    assert workflow["steps"][-1] == {"run": "make test"}
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text(encoding="utf-8")


def test_every_extra_that_is_promised_or_that_make_installs_exists():
    assert set(EXTRAS) == {"notebooks", "test", "classroom", "browser", "oracle", "minilm"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installed = {
        extra
        for names in re.findall(r"\.installed-([a-z,]+)", makefile)
        for extra in names.split(",")
    }
    assert installed - {"core"} <= set(EXTRAS)


def test_the_table_of_targets_is_true_and_every_script_that_make_runs_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) <= targets
    promised = re.findall(r"^\| `make ([a-z-]+)` \|", CONTRIBUTING, re.MULTILINE)
    assert set(promised) == targets - {"help"}
    benchmarks = re.search(r"^BENCHMARKS := (.*)$", makefile, re.MULTILINE)[1].split()
    scripts = re.findall(r"-m ((?:tools|minimagen)\.\w+)", makefile)
    assert all(is_module(name) for name in (*scripts, *(f"experiments.{b}" for b in benchmarks)))
