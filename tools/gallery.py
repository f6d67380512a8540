"""Draw the gallery: `python -m tools.gallery`, two minutes on one core -> docs/GALLERY.md and
docs/images/gallery-*.png.

`python -m tools.gallery demo` draws the picture at the head of the README alone: what `make demo`
draws, side by side.

The sentences were written down before any of them was drawn. Each is drawn once, with the seed of
`minimagen draw`; nothing is picked, and the failures stay in.
"""

import argparse
from pathlib import Path

from PIL import Image
from torch.nn import functional as F

from minimagen import pixels
from minimagen.cascade import Cascade
from minimagen.files import make_folder

SENTENCES = {
    "One shape": (
        "a large red circle",
        "a small blue star",
        "a medium green cross",
        "a purple heart",
        "the child has painted a big orange ring",
        "a triangle of large size in pink",
        "one tiny black square",
        "a red star",
    ),
    "Two shapes, in places": (
        "a red circle to the left of a blue square",
        "a green star above a yellow heart",
        "a pink ring below a black cross",
        "a large purple triangle left of a small orange circle",
        "a small red heart above a big blue ring",
        "a yellow square beneath a green diamond",
        "a black star and a pink circle",
        "a blue cross right of a red triangle",
    ),
    "Three, and several alike": (
        "a red circle, a green square and a blue star from left to right",
        "a pink heart, a black ring and a yellow cross",
        "from top to bottom a blue circle, a red triangle and a green diamond",
        "two small red circles",
        "three blue stars",
        "exactly two large green hearts",
        "an orange star, a purple circle and a black square",
        "three yellow diamonds",
    ),
    "Emoji, flat and shaded": (
        "a flat drawing of a red apple",
        "a shaded drawing of a red apple",
        "a flat drawing of a cat",
        "a shaded drawing of a cat",
        "a pizza, flat style",
        "a sun, shaded style",
        "a flat emoji of a rocket",
        "a shaded emoji of a house",
    ),
    "Scenes of two emoji": (
        "a flat drawing of a dog face to the left of a banana",
        "a shaded drawing of a strawberry above a soccer ball",
        "a rose left of a bus, flat style",
        "a flat drawing with a jack-o-lantern at the top and a key at the bottom",
        "a shaded drawing of a guitar to the right of a honeybee",
        "a lemon over a deciduous tree, shaded style",
        "a flat drawing of a fish below an umbrella",
        "a shaded drawing with an open book on the left and a crown on the right",
    ),
    "Two animals, plants or foods": (
        "a flat drawing of a cat to the left of a banana",
        "a rabbit left of a carrot, shaded style",
        "a flat drawing of a butterfly above a tulip",
        "a shaded drawing with an owl at the top and a mushroom at the bottom",
        "a frog under a lemon, flat style",
        "a shaded drawing of a pizza to the right of a penguin",
        "a flat drawing of a strawberry below a cow",
        "a whale over a pineapple, shaded style",
    ),
    "What no training caption says": (
        "a happy cat",
        "a green apple",
        "a red car in the rain",
        "two hearts of gold",
        "a blue banana",
        "a star inside a circle",
        "no circle",
        "a photograph of the sea at night",
    ),
}
DEMO = ("a large red circle", "a small blue star")
COLUMNS, SIDE, SIZE = 4, 192, 256
INTRODUCTION = """# Gallery

{count} sentences, written down before any was drawn. Each is drawn once, nothing
is picked, and the failures stay in. The shipped weights know rendered shapes, emoji that are named in one
word, and two animals, plants or foods among these in one picture. Longer names stood in one early leg of their
training, and free sentences in none.

Sentence *n* of a group has the seed *n* − 1. Shown is the second stage, 256 pixels, a little reduced;
`python -m tools.gallery` draws it again. How often drawings are right is measured on hundreds of captions, see
[experiments/results](../experiments/results).
"""  # noqa: E501  (as wide as the other pages of docs)
DOCS = Path(__file__).resolve().parents[1] / "docs"


def sheet(cascade: Cascade, sentences: tuple[str, ...]) -> Image.Image:
    """One group's drawings, as the second stage of the cascade leaves them, on one page."""
    drawn = cascade.draw(list(sentences), 0, size=SIZE)[-1]
    framed = F.pad(pixels.resize(drawn, SIDE).clamp(-1, 1), (1, 1, 1, 1), value=0.5)
    whole = pixels.to_pil(pixels.grid(framed, COLUMNS, gap=6))
    return whole.quantize(128, dither=Image.Dither.NONE)


def demo(cascade: Cascade, sentences: tuple[str, ...]) -> Image.Image:
    """Every stage's drawing of each sentence at half its size, from the smallest on, in frames."""
    stages = [
        F.pad(pixels.resize(x, x.shape[-1] // 2 - 2).clamp(-1, 1), (1, 1, 1, 1), value=0.5)
        for x in cascade.draw(list(sentences), 0)
    ]
    side_by_side = pixels.row((x for each in zip(*stages, strict=True) for x in each), gap=6)
    page = F.pad(side_by_side, (0, 6, 0, 0), value=1.0)  # a gap behind the last one too
    return pixels.to_pil(page).quantize(256, dither=Image.Dither.NONE)


def page(groups: dict[str, tuple[str, ...]]) -> str:
    """docs/GALLERY.md: what was drawn, and the sentences of every picture."""
    text = [INTRODUCTION.format(count=sum(map(len, groups.values())))]
    for number, (title, sentences) in enumerate(groups.items(), 1):
        lines = [f"{place}. {sentence}" for place, sentence in enumerate(sentences, 1)]
        words = "Eight drawings in two rows of four, asked for by the eight sentences of the list "
        words += f"below: {title.lower()}"
        image = f"![{words}](images/gallery-{number}.png)\n"
        text += [f"## {title}\n", image, "Row by row:\n", *lines, ""]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description="draw the gallery, or the head of the README")
    parser.add_argument(
        "what",
        nargs="?",
        choices=("gallery", "demo"),
        default="gallery",
        help="gallery (default): docs/GALLERY.md and its pictures; demo: docs/images/demo.png",
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder (default: docs)")
    options = parser.parse_args()
    cascade = Cascade.load(device="cpu")
    images = make_folder(options.out / "images")
    if options.what == "demo":
        demo(cascade, DEMO).save(images / "demo.png", optimize=True)
        return
    for number, (title, sentences) in enumerate(SENTENCES.items(), 1):
        sheet(cascade, sentences).save(images / f"gallery-{number}.png", optimize=True)
        print(title, flush=True)
    (options.out / "GALLERY.md").write_text(page(SENTENCES), encoding="utf-8")


if __name__ == "__main__":
    main()
