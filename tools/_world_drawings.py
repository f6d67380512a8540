"""The drawings of `World` as records: what `tools.build_data` writes into `data/world`."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tools._world_nouns import NEVER_SHOWN, SHOWN

FIELD = 32  # every icon of the package is drawn on a field of 32 x 32
MAIN_COLOURS = 8
FINE = 8  # pixels a unit of that field when a drawing is measured


def records(icons: dict[str, dict]) -> Iterator[dict]:
    """One record a noun: its group, whether training shows it, its box and main colours, its SVG.

    icons: the package's drawings by name. Raises `KeyError` on a drawing that is not there.
    """
    for shown, table in ((True, SHOWN), (False, NEVER_SHOWN)):
        for group, choices in table.items():
            for choice in choices:
                icon, _, name = choice.partition(" ")
                box, palette = measured(icons[icon]["body"])
                record = {"noun": name or icon, "group": group, "shown": shown, "box": box}
                yield {**record, "palette": palette, "svg": icons[icon]["body"]}


def measured(svg: str) -> tuple[list[float], list[list[float]]]:
    """(left, top, side) of the least square around all that is visible, and its main colours, each
    as its share of the visible and its red, green and blue.
    """
    pixels = np.asarray(_rendered(svg))
    visible = pixels[..., 3] > 32
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    spans = [(line[0], line[-1] + 1) for line in (columns, rows)]
    side = max(stop - start for start, stop in spans)
    corner = [(start + stop - side) / 2 for start, stop in spans]
    box = [round(float(value) / FINE, 3) for value in (*corner, side)]
    solid = Image.fromarray(pixels[visible][None, :, :3]).quantize(MAIN_COLOURS)
    rgb = np.array(solid.getpalette()).reshape(-1, 3)
    counts = sorted(solid.getcolors(), reverse=True)
    return box, [[round(n / int(visible.sum()), 3), *rgb[index].tolist()] for n, index in counts]


def _rendered(svg: str) -> Image.Image:
    import resvg_py

    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    side = FIELD * FINE
    document = (
        f'<svg {names} viewBox="0 0 {FIELD} {FIELD}" width="{side}" height="{side}">{svg}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=document, dpi=96, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")
