"""Every lesson's widget in JupyterLab, in a real browser: each control is moved as a hand would,
and the picture changes.

To see what the browser saw: `python -m pytest tests/test_browser.py -k 02 --basetemp shots`, a
screenshot before and after.
"""

import ast
import base64
import builtins
import io
import os
import re
import secrets
import shutil
import socket
import subprocess
import symtable
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import numpy as np
import pytest
from PIL import Image

for missing, extra in (
    ("playwright", "browser"),
    ("jupyterlab", "notebooks"),
    ("ipywidgets", "notebooks"),
):
    pytest.importorskip(missing, reason=f"{missing} is not installed: pip install -e '.[{extra}]'")

from playwright import sync_api as playwright  # noqa: E402 - where it is missing, all is skipped above

ROOT = Path(__file__).parents[1]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium, or its like"
)

# Lessons train small networks, and the machine may be busy: a wait only ends what would never end.
HOUR = 3600
MS = 1000 * HOUR  # playwright counts in milliseconds
PICTURE = ".widget-interact .widget-output img"
FAULT = ":is([data-mime-type$='jupyter.error'], [data-mime-type$='jupyter.stderr'])"
# a figure begun but not shown pushes the widget out of sight
CLOSED = "from matplotlib import pyplot\npyplot.close('all')"
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
SETTINGS = {  # do not ask about the news; build every cell at once, not only those in sight
    "labconfig/page_config.json": '{"disabledExtensions": '
    '{"@jupyterlab/apputils-extension:announcements": true}}',
    "lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings": (
        '{"windowingMode": "none"}'
    ),
}
CONTROLS = ", ".join(
    f".widget-interact .widget-{kind}" for kind in ("slider", "dropdown", "text", "checkbox")
)


def until_widget(path: Path) -> list[str]:
    """The code cells of a notebook up to the one tagged `widget`; none where there is none."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    at = [i for i, cell in enumerate(cells) if "widget" in cell.metadata.get("tags", ())]
    return [cell.source for cell in cells[: at[0] + 1]] if at else []


LESSONS = [
    path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")) if until_widget(path)
]


# --- a lesson, cut down to what its widget needs ---


def names(source: str) -> tuple[set[str], set[str]]:
    """The names that a piece of code makes, and those that it reads, its functions included."""
    tables = [symtable.symtable(source, "cell", "exec")]
    for table in tables:
        tables += table.get_children()
    made = {
        symbol.get_name()
        for symbol in tables[0].get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
    outer = [
        symbol
        for table in tables
        for symbol in table.get_symbols()
        if table is tables[0] or symbol.is_global()
    ]
    return made, {symbol.get_name() for symbol in outer if symbol.is_referenced()} - set(
        dir(builtins)
    )


def needed(cells: list[str]) -> str:
    """The statements between the set-up, which comes first, and the widget's cell, which comes
    last, that make what it uses.

    Found from the end: a statement is kept when it makes a wanted name, or changes one in place:
    `losses.append(x)`, a loop.
    """
    at_hand = names(cells[0])[0]
    made, wanted = names(cells[-1])
    wanted, kept = wanted - made, []
    for statement in reversed(ast.parse("\n".join(cells[1:-1])).body):
        source = ast.unparse(statement)
        made, read = names(source)
        changed = (
            read if isinstance(statement, ast.For | ast.While) else set(re.findall(r"^\w+", source))
        )
        if (made | changed) - at_hand & wanted:
            kept.append(source)
            anew = isinstance(statement, ast.Assign | ast.FunctionDef | ast.ClassDef)
            wanted = (wanted - made if anew else wanted) | read
    return "\n".join(reversed(kept))


def test_only_what_a_widget_needs_is_kept():
    lines = [
        "x = 1",
        "y = [x]",
        "print(y)",
        "for i in range(3):\n    y.append(i)",
        "x = 5",
        "def f():\n    return y",
    ]
    assert needed(["import math", *lines, "z = f()\nlesson.explore(z)"]) == "\n".join(
        [*lines[:2], lines[3], lines[5]]
    )


# --- the server and the browser ---


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """JupyterLab on this machine alone, with settings of its own: the folder that it serves, its
    address with {} for a file.
    """
    home = tmp_path_factory.mktemp("lab")
    served, token = home / "served", secrets.token_hex(16)
    served.mkdir()
    for name, text in SETTINGS.items():
        file = home / "config" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": served,
        "MappingKernelManager.kernel_info_timeout": HOUR,
        "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True,
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    log = home / "log"
    with (
        log.open("w") as out,
        subprocess.Popen(command, cwd=home, env=own(home), stdout=out, stderr=out) as server,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/api?token={token}", server, log)
            yield served, f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={token}"
        finally:
            server.terminate()  # it stops its kernels


def own(home: Path) -> dict[str, str]:
    """The environment of a server that keeps all its files in `home`."""
    kinds = ("config", "data", "runtime")
    folders = {f"JUPYTER_{kind.upper()}_DIR": str(home / kind) for kind in kinds}
    folders |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(ROOT)}
    return os.environ | folders


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(5 * HOUR):
        try:
            urlopen(address).close()
            return
        except URLError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not answer: {log.read_text()}")


@pytest.fixture(scope="module")
def browser():
    options = [
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]  # offline
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=options, timeout=MS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser) -> Iterator[playwright.Page]:
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.set_default_timeout(MS)
    page.set_default_navigation_timeout(MS)
    yield page
    page.close()


# --- what a hand and an eye do ---


def opened(page: playwright.Page, lab: tuple[Path, str], name: str, sources: list[str]) -> None:
    """Open a notebook of these cells in JupyterLab, run them all, and wait until its widget shows a
    picture.
    """
    served, address = lab
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for cell in cells[:-1]:
        cell.metadata.jupyter = {"source_hidden": True}  # the widget is what a screenshot shows
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), served / name)
    page.goto(address.format(name))
    page.wait_for_function(f"() => {KERNEL}?.connectionStatus === 'connected'")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(f"{PICTURE}, {FAULT}").first.wait_for()
    assert page.locator(FAULT).all_inner_texts() == []
    page.locator(PICTURE).scroll_into_view_if_needed()


def picture(page: playwright.Page) -> str:
    return page.locator(PICTURE).get_attribute("src")


def pixels_of(source: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2]))) as image:
        return np.asarray(image.convert("RGB"))


def move(control: playwright.Locator) -> None:
    """Give a control another value, by the keyboard where it is a slider or a line of text."""
    kinds = (".noUi-handle", "select", "input[type=checkbox]", "input[type=text]")
    handle, choice, box, line = (control.locator(kind) for kind in kinds)
    if handle.count():
        now, last = (float(handle.get_attribute(f"aria-value{name}")) for name in ("now", "max"))
        handle.press("ArrowRight" if now < last else "ArrowLeft")
    elif choice.count():
        count = choice.locator("option").count()
        choice.select_option(
            index=(choice.evaluate("element => element.selectedIndex") + 1) % count
        )
    elif box.count():
        box.click()
    else:
        line.fill("a large yellow star")
        line.press("Enter")


def changed(page: playwright.Page, before: str, patience: int = MS) -> None:
    """Wait until another picture stands where `before` stood, for at most `patience` milliseconds;
    what went wrong on the way is the failure's message.
    """
    script = """([picture, fault, before]) => document.querySelector(fault) ||
        ![null, undefined, before].includes(document.querySelector(picture)?.src)"""
    page.wait_for_function(script, arg=[PICTURE, FAULT, before], timeout=patience)
    # no later drawing passes for the next one's
    page.wait_for_function(f"() => {KERNEL}.status === 'idle'")
    assert page.locator(FAULT).all_inner_texts() == []
    page.locator(PICTURE).evaluate(
        "image => image.decode()"
    )  # else a screenshot may come before it
    old, new = pixels_of(before), pixels_of(picture(page))
    assert old.shape != new.shape or (old != new).any(), (
        "the picture's file changed, but none of its pixels"
    )


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_control_of_the_widget_changes_the_picture(path, lab, page, tmp_path):
    cells = until_widget(path)
    opened(page, lab, path.name, [cells[0], f"{needed(cells)}\n{CLOSED}", cells[-1]])
    page.screenshot(path=tmp_path / "before.png")
    controls = page.locator(CONTROLS)
    assert controls.count() > 0
    for i in range(controls.count()):
        before = picture(page)
        move(controls.nth(i))
        changed(page, before)
        page.screenshot(path=tmp_path / f"moved_{i}.png")


# A picture that stays takes some seconds to be sure of; a fault is waited for as long as it takes.
@pytest.mark.parametrize(
    ("line", "seen", "patience"),
    [
        ("pass", playwright.TimeoutError, 5000),
        ("assert t < 0.6, 'too far'", AssertionError, MS),
    ],
    ids=["still", "faulty"],
)
def test_a_widget_that_shows_nothing_new_is_seen(line, seen, patience, lab, page):
    setup = (
        "import matplotlib.pyplot as plt\n\nfrom minimagen.lessons import lesson\n\n"
        "lesson.setup(seed=0)"
    )
    draw = f"def draw(t):\n    {line}\n    return plt.figure()"
    show = "lesson.explore(draw, alt='It is empty, whatever t is.', t=(0.0, 1.0, 0.5))"
    opened(page, lab, "bad.ipynb", [setup, draw, show])
    before = picture(page)
    move(page.locator(CONTROLS))
    with pytest.raises(seen, match="Timeout|too far"):
        changed(page, before, patience)
