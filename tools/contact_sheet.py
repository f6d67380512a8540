"""Pictures of `World` with their captions, to be looked at: `python -m tools.contact_sheet`.

Writes docs/images/world-SPLIT.png, 64 pages of 64 pixels of every split, twice as large, and
docs/images/world-256.png, 20 pages of 256 pixels.
"""

import argparse
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from minimagen.data.world import SPLITS, World
from minimagen.files import make_folder

DOCS = Path(__file__).resolve().parents[1] / "docs" / "images"
GAP, LINE = 10, 12  # pixels between two cells, and from one line of a caption to the next


def sheet(world: World, first: int, count: int, columns: int, zoom: int) -> Image.Image:
    """`count` items of `world` from item `first` on, each with its caption beneath."""
    side = world.size * zoom
    font = ImageFont.load_default(11)
    letters = side // 6
    captions = [textwrap.wrap(world.caption(first + k), letters) for k in range(count)]
    height = side + 4 + LINE * max(map(len, captions))
    rows = -(-count // columns)
    page = Image.new("RGB", (columns * (side + GAP) + GAP, rows * (height + GAP) + GAP), "#f4f4f2")
    draw = ImageDraw.Draw(page)
    for k, lines in enumerate(captions):
        x, y = GAP + k % columns * (side + GAP), GAP + k // columns * (height + GAP)
        picture = Image.fromarray(world[first + k][0].permute(1, 2, 0).numpy())
        page.paste(picture.resize((side, side), Image.Resampling.NEAREST), (x, y))
        draw.multiline_text(
            (x, y + side + 3), "\n".join(lines), fill="#222222", font=font, spacing=1
        )
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw contact sheets of World into docs/images.")
    parser.add_argument(
        "--out", default=DOCS, help="the folder to write into (default: docs/images)"
    )
    parser.add_argument("--first", type=int, default=0, help="the first item shown (default: 0)")
    given = parser.parse_args()
    out = make_folder(given.out)
    for split in SPLITS:
        sheet(World(64, split), given.first, 64, 8, 2).save(
            out / f"world-{split}.png", optimize=True
        )
    sheet(World(256), given.first + 64, 20, 5, 1).save(out / "world-256.png", optimize=True)


if __name__ == "__main__":
    main()
