"""The repository keeps its own rules: what imports what, what an import may touch, what is shipped,
what is never written.
"""

import ast
import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minimagen"
# A module imports only from modules before it: the mathematics in the order of its derivation, then
# data, evaluation, a training run, the command line, the lessons.
ORDER = (
    *("files", "pixels", "conditioning", "noise", "ddpm", "denoiser", "variational", "ideal"),
    *("layers", "unet", "training", "samplers", "guidance", "thresholding", "text", "superres"),
    *("families", "checkpoint", "cascade"),
    *("data.base", "data.folder", "data.drawing", "data.language", "data.shapes"),
    *("data.emoji", "data.scenes"),
    *("data.nouns", "data.pages", "data.truth", "data.layout", "data.wordings", "data.captions"),
    *("data.sprites", "data.grammar", "data.world"),
    *("evaluation.metrics", "evaluation.reader", "evaluation.alignment", "evaluation.likeness"),
    *("evaluation.recognition", "evaluation.registry", "evaluation.exam"),
    "recipes",
    *("cli.common", "cli.draw", "cli.train", "cli.evaluate", "cli.parser", "cli"),
    *("lessons.figures", "lessons.setup", "lessons.lesson", "lessons.checks", "lessons.report"),
)


def dotted(path: Path) -> str:
    """The name of a module within the package: "noise", "data.base", "cli" for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return "lessons.checks" if name.startswith("lessons.checks") else name


# An `__init__` that only gathers names belongs to its package, wherever in the order it is read.
GATHERS = {"", "__main__", "data", "evaluation", "lessons"}
MODULES = sorted({dotted(path) for path in PACKAGE.rglob("*.py")} - GATHERS)
SOURCES = sorted(PACKAGE.rglob("*.py"))
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


def imported_here(module: ast.Module) -> set[str]:
    """The modules of minimagen that a source file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == "minimagen"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minimagen":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if known(name.partition(".")[2])}
            found |= modules | ({node.module} if modules < names else set())
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(
                "imports are written from the top: from minimagen.noise import ..."
            )
    return {name.partition(".")[2] for name in found} - GATHERS


def known(name: str) -> bool:
    """Whether a dotted name below minimagen is a module or a package."""
    path = PACKAGE / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_every_module_has_its_place_in_the_order():
    assert set(MODULES) == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_a_module_imports_only_from_modules_before_it(path):
    name = dotted(path)
    place = {"data": "evaluation.metrics"}.get(name, name)  # its names come from all of its modules
    before = ORDER[: ORDER.index(place)] if place in ORDER else ORDER
    own = {"lessons.checks"} if name == "lessons.checks" else set()
    assert imported_here(tree(path)) <= {*before, *own}


def test_every_form_of_import_is_seen():
    code = "import minimagen.noise, torch\ndef f():\n from minimagen.text import x\n"
    code += "from minimagen import pixels, __version__\nfrom minimagen.data import emoji, Folder\n"
    found = imported_here(ast.parse(code + "from minimagen.lessons import checks"))
    assert found == {"noise", "text", "pixels", "data.emoji", "lessons.checks"}


# --- what an import may touch ---

IMPORT_ALL = f"""
import importlib
for name in {MODULES}:
    importlib.import_module("minimagen." + name)
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

    for name, home in minimagen._HOMES.items():
        if home.partition(".")[2] in MODULES:
            assert getattr(minimagen, name).__module__ == home
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


# Written as patterns, so that this file does not hold what it looks for.
UNWANTED = re.compile(
    rb"(?<![\w.$~{}-])/(?:work|root)/\w|/t[m]p/w\b|/home/[a-z]|/Users/\w"
    rb"|\b(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com|net)\b|\bdownload\.pytorch\b"
)


def test_no_file_names_a_private_path_or_the_host_of_a_registry():
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in files()
        if (match := UNWANTED.search(path.read_bytes()))
    }
    assert not found


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
    found = run(
        "import minimagen.files; print(minimagen.files.shipped('weights'))", tmp_path, tmp_path
    )
    assert Path(found).resolve() == (tmp_path / "minimagen" / "_data" / "weights").resolve()


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
    assert set(EXTRAS) == {"notebooks", "test", "bench", "classroom", "browser", "oracle", "minilm"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installed = {
        extra
        for names in re.findall(r"\.installed-([a-z,]+)", makefile)
        for extra in names.split(",")
    }
    assert installed - {"core"} <= set(EXTRAS)
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {
        "demo",
        "test",
        "classroom",
        "lab",
        "lint",
        "weights",
        "benchmark",
        "clean",
        "help",
    } <= targets
