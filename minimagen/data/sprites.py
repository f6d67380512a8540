"""Sprites: what a page of `World` is put together from, drawn once a size and then kept.

A *sprite* is a uint8 array (channels, height, width) with a margin for the shadow around the
object: how much of the page stays visible (`KEEP`), how opaque the object is, how light it is, and
for things their own colours, premultiplied. Slices and products alone lay one on a page.
"""

import hashlib
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from minimagen.data.drawing import HOLES, OUTLINES
from minimagen.data.nouns import COLOURS, SHAPES, drawings
from minimagen.files import cache_folder, write

KEEP, OPAQUE, SHADE, OWN = 0, 1, 2, slice(3, 6)  # the channels
FIELD = 32  # a drawing's field of view, as in `Drawing.box`
SHADOW = 0.3  # how dark the shadow is where it is darkest
SHADOW_DOWN, SHADOW_RIGHT, SHADOW_BLUR = 1.6, 0.9, 1.1  # 64ths of the page; the light is upper left
MARGIN = 5  # 64ths of the page around an object that its shadow may reach
IN_MEMORY = 192  # sprites of more pixels a side are mapped from the cache folder, not held
MASTERS = (128, 384, 1024)  # pixels at which drawings are rendered once, to be scaled down from
FORMAT = "1"  # names what this module makes of a drawing: another number makes all sprites again


def sprite(noun: str, side: int, size: int) -> np.ndarray:
    """The sprite of a noun whose box is `side` 64ths of a page of size x size pixels.

    Shapes have 3 channels, things 6. The margin is `margin(size)` pixels on every side.
    """
    return (_held if pixels(side, size) <= IN_MEMORY else _mapped)(noun, side, size)


def pixels(length: int, size: int) -> int:
    """64ths of a page in whole pixels of a page of size x size."""
    return (length * size + 32) // 64


def margin(size: int) -> int:
    """Pixels around an object that belong to its sprite."""
    return -(-MARGIN * size // 64)


@cache
def tints(colour: str) -> np.ndarray:
    """(3, 256) uint8: what each lightness of a drawing becomes in that colour."""
    tones = np.array(COLOURS[colour], float)
    lightness = np.linspace(0, 1, 256)
    return (
        np.stack([np.interp(lightness, (0, 0.5, 1), tone) for tone in tones.T])
        .round()
        .astype(np.uint8)
    )


@lru_cache(maxsize=8192)
def _held(noun: str, side: int, size: int) -> np.ndarray:
    if noun in SHAPES:
        return _made(noun, side, size)
    return np.array(_mapped.__wrapped__(noun, side, size))


@lru_cache(maxsize=256)  # each keeps a file open
def _mapped(noun: str, side: int, size: int) -> np.ndarray:
    path = _path(noun, f"{side}-{size}.npy")
    found = _opened(path, noun, side, size)
    if found is None:
        write(path, lambda temporary: _save(temporary, _made(noun, side, size)))
        found = _opened(path, noun, side, size)
    return found


def _path(noun: str, ending: str) -> Path:
    source = "" if noun in SHAPES else drawings()[noun].svg
    digest = hashlib.sha256(f"{FORMAT}|{noun}|{source}".encode()).hexdigest()[:16]
    return cache_folder() / "world" / f"{noun.replace(' ', '-')}-{digest}-{ending}"


def _opened(path: Path, noun: str, side: int, size: int) -> np.ndarray | None:
    whole = pixels(side, size) + 2 * margin(size)
    shape = (3 if noun in SHAPES else 6, whole, whole)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.uint8 else None


def _save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, array)


def _made(noun: str, side: int, size: int) -> np.ndarray:
    inner = max(1, pixels(side, size))
    if noun in SHAPES:
        opaque = _outline(noun, inner)
        channels = [opaque, _relief(opaque)]
    else:
        own, opaque = _drawn(noun, inner)
        channels = [opaque, _lightness(own, opaque), *own]
    edge = margin(size)
    opaque, *rest = (np.pad(channel, edge) for channel in channels)
    keep = (1 - SHADOW * _shadow(opaque, size) / 255) * (1 - opaque / 255)
    return np.stack([(255 * keep).round().astype(np.uint8), opaque, *rest])


def _shadow(opaque: np.ndarray, size: int) -> np.ndarray:
    """The object's silhouette, moved away from the light and blurred: 0..255."""
    unit = size / 64
    moved = np.roll(opaque, (round(SHADOW_DOWN * unit), round(SHADOW_RIGHT * unit)), (0, 1))
    blurred = Image.fromarray(moved).filter(ImageFilter.GaussianBlur(SHADOW_BLUR * unit))
    return np.asarray(blurred, float)


# ------------------------------------------------------------------------------------------- shapes


def _outline(shape: str, side: int) -> np.ndarray:
    """How much of each pixel the shape covers: uint8 (side, side)."""
    finer = 8 if side <= 128 else 4
    image = Image.new("L", (side * finer, side * finer))
    for outline, level in ((OUTLINES[shape], 255), (HOLES.get(shape), 0)):
        if outline is not None:
            points = (outline + 1) * side * finer / 2 - 0.5
            ImageDraw.Draw(image).polygon([tuple(point) for point in points.tolist()], fill=level)
    return np.asarray(image.reduce(finer))


def _relief(opaque: np.ndarray) -> np.ndarray:
    """The lightness of a shape: falling from the upper left, with a rounded rim. uint8."""
    from scipy.ndimage import gaussian_filter

    side = len(opaque)
    across = (np.arange(side) + 0.5) / side
    slope = 0.64 - 0.28 * (across[:, None] + across) / 2
    height = np.pad(opaque / 255, side // 4)  # in floats: 256 heights would show as terraces
    inside = slice(side // 4, side // 4 + side)
    rises = np.gradient(gaussian_filter(height, 0.05 * side, mode="constant", truncate=4))
    rim = 0.035 * side * (rises[0] + rises[1])[inside, inside]
    return (255 * np.clip(slope + rim, 0.06, 0.96)).round().astype(np.uint8)


# ------------------------------------------------------------------------------------------- things


def _drawn(noun: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A thing's own colours, premultiplied (3, side, side), and how opaque it is (side, side)."""
    fine = next((master for master in MASTERS if master >= 1.6 * side), MASTERS[-1])
    field = _master(noun, fine).convert("RGBa")  # premultiplied, so that no edge turns dark
    room = fine // 2  # the box is a square and may reach beyond the field
    field = field.crop((-room, -room, fine + room, fine + room))
    left, top, length = (value * fine / FIELD for value in drawings()[noun].box)
    box = (left + room, top + room, left + room + length, top + room + length)
    small = np.asarray(field.resize((side, side), Image.Resampling.LANCZOS, box))
    opaque = small[..., 3]
    return np.minimum(small[..., :3], opaque[..., None]).transpose(2, 0, 1), opaque


def _master(noun: str, side: int) -> Image.Image:
    """The whole field of a drawing at side x side pixels, kept as a file, without a background."""
    path = _path(noun, f"{side}.png")
    for _ in range(2):
        try:
            with Image.open(path) as image:
                return image.convert("RGBA")
        except (OSError, SyntaxError, ValueError):  # missing or damaged
            write(path, lambda temporary: temporary.write_bytes(_png(noun, side)))
    raise ValueError(
        f"{path} must be a picture that can be read, but is none right after it was made"
    )


def _png(noun: str, side: int) -> bytes:
    import resvg_py

    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    box = f'viewBox="0 0 {FIELD} {FIELD}" width="{side}" height="{side}"'
    document = f"<svg {names} {box}>{drawings()[noun].svg}</svg>"
    return bytes(resvg_py.svg_to_bytes(svg_string=document, dpi=96, skip_system_fonts=True))


def _lightness(own: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    """How light a thing is, stretched so that half of it is lighter than the pure colour. uint8."""
    solid = np.maximum(opaque, 1) / 255
    luma = np.tensordot((0.299, 0.587, 0.114), own, 1) / solid
    seen = luma[opaque > 128]
    low, middle, high = np.percentile(seen if seen.size else [0.0], (3, 50, 97))
    knots = (min(low, middle - 30), middle, max(high, middle + 30))
    return (255 * np.interp(luma, knots, (0.05, 0.5, 0.95))).round().astype(np.uint8)
