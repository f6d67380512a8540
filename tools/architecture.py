"""Draw the architecture: `python -m tools.architecture` -> docs/images/architecture-*.svg.

Three drawings in one style: the Efficient U-Net of the paper's 64 -> 256 stage (lesson 12), one
level of a U-Net in its two orders (lesson 12), and the cascade with all that each stage is told
(lessons 10, 11, 13, 14). Blue boxes work on pixels, orange ones are blocks with many weights, green
ones are conditions. Each drawing lies on a pale panel of its own, so that it can be read on a page
of any colour. A notebook shows one by `lesson.drawing`.
"""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

from minimagen.files import make_folder

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
PAPER, INK, GREY = "#FCFCFA", "#1A1A1A", "#5A5A5A"
FILLS = {"pixels": "#CFE4F3", "blocks": "#F7D3B5", "told": "#CBEADD", "plain": "#FFFFFF"}
FONT = 'font-family="Helvetica, Arial, sans-serif"'
Point = tuple[float, float]


def text(x: float, y: float, words: str, size: int = 13, colour: str = INK) -> str:
    """Lines of words, centred about (x, y)."""
    lines = words.split("\n")
    top = y - 0.6 * size * (len(lines) - 1) + 0.35 * size
    rows = [
        f'<text x="{x:g}" y="{top + 1.2 * size * i:g}" fill="{colour}" font-size="{size}" '
        f'text-anchor="middle" {FONT}>{escape(line)}</text>'
        for i, line in enumerate(lines)
    ]
    return "\n".join(rows)


def box(x: float, y: float, words: str, kind: str, width: float = 150, height: float = 38) -> str:
    """A box with words, centred about (x, y)."""
    shape = (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" '
        f'height="{height:g}" rx="6" fill="{FILLS[kind]}" stroke="{INK}"/>'
    )
    return shape + "\n" + text(x, y, words)


def arrow(*points: Point, told: bool = False) -> str:
    """A line through the points with a head at its end; dashed where it carries a condition."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    look = f'stroke="{GREY}" stroke-dasharray="5 4"' if told else f'stroke="{INK}"'
    return (
        f'<polyline points="{path}" fill="none" {look} stroke-width="1.5" marker-end="url(#head)"/>'
    )


def join(x: float, y: float) -> str:
    """A circle with a plus: two halves are summed and divided by the root of 2."""
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="12" fill="{FILLS["plain"]}" stroke="{INK}"/>\n'
        + text(x, y, "+", 17)
    )


def page(width: int, height: int, words: str, parts: Sequence[str]) -> str:
    """The whole SVG; `words` say what it shows, for a reader who does not see it."""
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker>'
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">',
        f"<title>{escape(words)}</title>",
        f"<defs>{head}</defs>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


# --- the drawings ---

EFFICIENT = "The Efficient U-Net from 64 to 256 pixels: four levels down, four up, a skip at each."
LEVEL = "One level in two orders: blocks at the full size, or at half the size."
CASCADE = "The cascade: a text encoder, and three stages at 64, 256 and 1024 pixels."


def efficient_unet() -> str:
    """The paper's 64 -> 256 network, appendix F.2 as printed."""
    rows = ((128, 128, 2), (64, 256, 4), (32, 512, 8), (16, 1024, 8))  # side, channels, blocks
    left, right, parts = 330, 690, []
    parts += [box(left, 120, "convolution", "pixels"), box(right, 120, "convolution", "pixels")]
    parts += [text(70, 120, "256 pixels wide\n128 channels", 12, GREY), join(right - 110, 120)]
    parts += [
        arrow((left + 75, 120), (right - 122, 120)),
        arrow((right - 98, 120), (right - 75, 120)),
    ]
    for i, (side, channels, blocks) in enumerate(rows):
        y = 225 + 100 * i
        last = i == len(rows) - 1
        words = f"{blocks} blocks" + (", attention" if last else "")
        parts += [text(70, y, f"{side} pixels wide\n{channels} channels", 12, GREY)]
        parts += [box(left, y, words, "blocks"), box(right, y, words, "blocks"), join(510, y)]
        parts += [arrow((left + 75, y), (498, y)), arrow((522, y), (right - 75, y))]
        parts += [
            arrow((left, y - (86 if i == 0 else 81)), (left, y - 19)),
            text(left - 88, y - 50, "stride 2", 12),
        ]
        up = [(right, y - 19), (right, y - 50)]
        up += [(right - 110, y - 50), (right - 110, y - 93)] if i == 0 else []
        up += [(510, y - 50), (510, y - 88)] if i else []
        parts += [arrow(*up), text(right + 95, y - 50, "double,\nconvolution", 12)]
    bottom = 225 + 100 * 3
    parts += [
        arrow((left, bottom + 19), (left, bottom + 45), (510, bottom + 45), (510, bottom + 12))
    ]
    parts += [box(215, 38, "noisy picture z\n256", "plain", 130), arrow((265, 57), (300, 101))]
    parts += [box(385, 38, "small picture, noised,\nenlarged to 256", "told", 170)]
    parts += [arrow((370, 57), (350, 101), told=True)]
    parts += [box(right, 38, "estimate, 256", "plain", 130), arrow((right, 101), (right, 57))]
    parts += [box(920, 325, "embedding:\nlog-SNR of both\npictures, pooled text", "told", 165, 66)]
    parts += [text(920, 385, "to every block", 12, GREY)]
    parts += [box(920, bottom, "text: one vector\nper token", "told", 130)]
    parts += [arrow((855, bottom), (right + 75, bottom), told=True)]
    parts += [text(920, bottom + 33, "to both attentions", 12, GREY)]
    parts += [text(145, 582, "+  the sum of both, divided by the root of 2", 12, GREY)]
    return page(1020, 600, EFFICIENT, parts)


def level() -> str:
    """One level, its blocks at the full size or at half the size."""
    parts = []
    for x, title in ((250, "late: the plain U-Net"), (750, "early: the Efficient U-Net")):
        parts += [text(x, 28, title, 15)]
    parts += [text(500, 90, "full size", 12, GREY), text(500, 220, "half the size", 12, GREY)]
    late = ((120, "convolution\nblocks"), (380, "blocks\nconvolution"))
    for x, words in late:
        parts += [box(x, 90, words, "blocks", 130, 52)]
    parts += [join(270, 90), arrow((185, 90), (258, 90)), arrow((282, 90), (315, 90))]
    parts += [box(250, 220, "coarser levels", "plain", 130)]
    parts += [arrow((120, 116), (120, 220), (185, 220)), text(80, 170, "halve", 12)]
    parts += [arrow((315, 220), (350, 220), (350, 140), (270, 140), (270, 102))]
    parts += [text(388, 180, "double", 12)]
    early = ((620, "blocks"), (880, "blocks"))
    for x, words in early:
        parts += [box(x, 220, words, "blocks", 110, 52)]
    parts += [join(770, 220), arrow((675, 220), (758, 220)), arrow((782, 220), (825, 220))]
    parts += [box(750, 300, "coarser levels", "plain", 130)]
    parts += [
        arrow((620, 246), (620, 300), (685, 300)),
        arrow((815, 300), (840, 300), (840, 260), (770, 260), (770, 232)),
    ]
    parts += [arrow((620, 64), (620, 194)), text(560, 130, "convolution,\nstride 2", 12)]
    parts += [arrow((880, 194), (880, 64)), text(945, 130, "double,\nconvolution", 12)]
    return page(1000, 335, LEVEL, parts)


def cascade() -> str:
    """Text encoder, base and two super-resolution stages, and what each is told."""
    parts = [box(110, 190, "caption", "plain", 120), arrow((110, 171), (110, 99))]
    parts += [box(110, 72, "frozen text encoder\n(T5)", "told", 160, 52)]
    stages = ((340, "base", 64), (640, "super-resolution", 256), (940, "super-resolution", 1024))
    for x, words, side in stages:
        parts += [box(x, 190, f"{words}\n{side} x {side}", "blocks", 150, 56)]
        parts += [box(x, 300, f"noise z, {side} x {side}", "plain", 160)]
        parts += [arrow((x, 281), (x, 218)), arrow((x, 72), (x, 162), told=True)]
    parts += [f'<line x1="190" y1="72" x2="940" y2="72" stroke="{GREY}" stroke-dasharray="5 4"/>']
    parts += [text(565, 54, "text: one vector per token, and their pool", 12, GREY)]
    for x in (490, 790):
        parts += [box(x, 190, "add noise", "told", 86)]
        parts += [arrow((x - 75, 190), (x - 43, 190)), arrow((x + 43, 190), (x + 75, 190))]
        parts += [text(x, 236, "at a level\nthat is told", 12, GREY)]
    parts += [arrow((1015, 190), (1060, 190)), text(1095, 190, "picture", 13)]
    return page(1140, 340, CASCADE, parts)


DRAWINGS = {"efficient-unet": efficient_unet, "level": level, "cascade": cascade}


def main() -> None:
    cli = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    cli.add_argument("--out", type=Path, default=IMAGES, help="the folder (default: docs/images)")
    folder = make_folder(cli.parse_args().out)
    for name, draw in DRAWINGS.items():
        (folder / f"architecture-{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
