"""Figures with a description, controls to move, pictures side by side: one look for all lessons."""

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from minimagen import pixels

# The colours of lessons.mplstyle, for a figure that names one.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DPI = 200  # given to every saved figure, since a notebook's backend may have set its own
# A plot keeps all its colours. Clouds of points and pictures of noise hardly compress: a figure of
# more than a third of this gets a palette of 256 colours, and half the resolution where its bytes
# are still more than this.
MOST_BYTES = 110_000


def show(figure, alt: str) -> None:
    """Show a matplotlib figure with its description, and close it.

    The same figure gives the same bytes in every run. alt: what the figure shows, in a sentence or
    two, for a reader who does not see it. It is kept in the output's metadata (nbconvert makes the
    picture's alternative text of it) and in the PNG file; JupyterLab reads neither, so it also
    stands folded beneath. Raises `ValueError` when alt says less than 20 characters.
    """
    from IPython.display import display

    data, metadata = _bundle(figure, alt)
    display(data, metadata=metadata, raw=True)
    words = f"<details><summary>the figure in words</summary>{html.escape(alt)}</details>"
    display({"text/html": words, "text/plain": f"the figure in words: {alt}"}, raw=True)


def explore(draw: Callable, alt: str, **controls) -> None:
    """Let the reader move the arguments of `draw`, a pure function that returns a figure:
    `explore(draw, alt=..., t=slider)`.

    controls: ipywidgets controls, or what `ipywidgets.interactive` makes them from. Where no widget
    can be shown, as on a page that is only read, its first picture stands in its place. Belongs in
    a cell tagged `widget` and `nbval-ignore-output`.
    """
    import ipywidgets
    from IPython.display import display

    def redraw(**values) -> None:
        data, metadata = _bundle(draw(**values), alt)
        display(data, metadata=metadata, raw=True)

    moving = ipywidgets.interactive(redraw, **controls)
    data, metadata = _bundle(draw(**moving.kwargs), alt)
    view = moving._repr_mimebundle_()
    display(
        {**data, **{kind: view[kind] for kind in view if "widget-view" in kind}},
        metadata=metadata,
        raw=True,
    )


def _bundle(figure, alt: str) -> tuple[dict, dict]:
    import matplotlib.pyplot as plt

    if not isinstance(alt, str) or len(alt.strip()) < 20:
        raise ValueError(
            f"alt must say what the figure shows, in 20 characters or more, got {alt!r}"
        )
    file, inches = _png(figure, alt), figure.get_size_inches()
    plt.close(figure)
    # shown at 100 pixels an inch, so that a screen of twice the usual density shows each pixel
    size = {"width": round(100 * inches[0]), "height": round(100 * inches[1])}
    return {"image/png": base64.b64encode(file).decode(), "text/plain": alt}, {
        "image/png": {"alt": alt, **size}
    }


def _png(figure, alt: str) -> bytes:
    """The figure as a PNG file: the first of three forms that is small enough."""
    words = PngInfo()
    words.add_text("Description", alt)
    forms = ((DPI, None, MOST_BYTES // 3), (DPI, 256, MOST_BYTES), (DPI // 2, 256, MOST_BYTES))
    for dpi, colours, most in forms:
        drawn, file = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi)
        picture = Image.open(drawn).convert("RGB")
        if colours:
            picture = picture.quantize(colours, dither=Image.Dither.NONE)
        picture.save(file, "PNG", pnginfo=words, optimize=True)
        if file.tell() <= most:
            break
    return file.getvalue()


def strip(
    pictures: Tensor,
    titles: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    side: float = 1.25,
):
    """Pictures side by side, or in rows: (N, C, H, W) or (R, N, C, H, W) -> figure.

    rows: a name for each row. Values in [-1, 1], C = 1 or 3; what lies outside is cut off, as a
    screen does. titles: one a column. side: inches of each. Raises `ValueError` on another shape,
    or on a wrong number of titles or rows.
    """
    import matplotlib.pyplot as plt

    pictures = pictures[None] if pictures.ndim == 4 else pictures
    if pictures.ndim != 5 or pictures.shape[2] not in (1, 3):
        raise ValueError(
            "pictures must be (N, C, H, W) or (R, N, C, H, W) with C = 1 or 3, got "
            f"{tuple(pictures.shape)}"
        )
    for name, words, count in (
        ("rows", rows, pictures.shape[0]),
        ("titles", titles, pictures.shape[1]),
    ):
        if words is not None and len(words) != count:
            raise ValueError(f"{name} must be {count}, one a {name[:-1]}, got {len(words)}")
    size = (side * pictures.shape[1] + 0.3, (side + 0.05) * pictures.shape[0] + 0.3)
    figure, axes = plt.subplots(pictures.shape[0], pictures.shape[1], figsize=size, squeeze=False)
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            image = pixels.to_uint8(picture).expand(3, -1, -1).permute(1, 2, 0).numpy()
            axes[i, j].imshow(image, interpolation="nearest")
            axes[i, j].set(xticks=[], yticks=[], title=titles[j] if titles and i == 0 else "")
            axes[i, j].spines[:].set_visible(False)
        axes[i, 0].set_ylabel(rows[i] if rows else "")
    return figure


def curves(x, lines: Mapping[str, Sequence], xlabel: str, ylabel: str, ax=None):
    """Named lines over one x, each with its own colour and dashes, and a legend -> figure.

    ax: draw into these axes instead of a new figure.
    """
    import matplotlib.pyplot as plt

    figure, ax = (ax.figure, ax) if ax is not None else plt.subplots()
    for name, y in lines.items():
        ax.plot(x, y, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return figure


def density(sets: Mapping[str, Tensor], limit: float, bins: int = 60):
    """Points in the plane, one panel a set: {name: (N, 2)} -> figure.

    A panel is a two-dimensional histogram over [-limit, limit], scaled to its own largest bin,
    darker is more. Raises `ValueError` where points are not (N, 2).
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(sets), figsize=(2.3 * len(sets) + 0.4, 2.6), squeeze=False, sharey=True
    )
    for ax, (name, points) in zip(axes[0], sets.items(), strict=True):
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"sets[{name!r}] must be points (N, 2), got {tuple(points.shape)}")
        x, y = points.detach().cpu().numpy().T
        ax.hist2d(x, y, bins=bins, range=[[-limit, limit]] * 2, cmap="Blues")
        ax.set(title=name, xlabel="first coordinate", aspect="equal")
        ax.grid(False)
    axes[0, 0].set_ylabel("second coordinate")
    return figure
