"""The words of `World`'s captions: those of training, those held out, and those of text alone.

A *wording* is a template. Of every table one wording in ten, and at least one, is held out: which,
sha256 of the wording decides. `TEXT_ONLY` holds words that no caption of any picture in training
has; a text encoder may know them from its own schooling.
"""

from functools import cache

from minimagen.data.nouns import HELD_OUT, share

SIZE_WORDS = {
    "small": ("small", "small", "little"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "large", "big"),
}
NOUN_WORDS = {  # other names that training captions use, for one mention in four
    "airplane": "plane",
    "rabbit": "bunny",
    "hamburger": "burger",
    "doughnut": "donut",
    "television": "TV",
    "teddy bear": "teddy",
    "pine tree": "fir tree",
    "alarm clock": "clock",
    "light bulb": "bulb",
}
TEXT_ONLY = {  # for each kind of word, the word and what it means
    "colour": {
        **{"crimson": "red", "scarlet": "red", "ruby": "red", "tangerine": "orange"},
        **{"amber": "orange", "golden": "yellow", "lemon": "yellow", "emerald": "green"},
        **{"jade": "green", "azure": "blue", "cobalt": "blue", "sapphire": "blue"},
        **{"violet": "purple", "plum": "purple", "fuchsia": "pink", "rosy": "pink"},
        **{"ebony": "black", "jet-black": "black"},
    },
    "page colour": {  # pages are pale
        **{"rosy": "pink", "apricot": "orange", "amber": "orange", "golden": "yellow"},
        **{"mint": "green", "jade": "green", "azure": "blue", "sky-blue": "blue"},
        **{"lilac": "purple", "lavender": "purple", "silvery": "grey", "ashen": "grey"},
        "snowy": "white",
    },
    "size": {
        **{"tiny": "small", "miniature": "small", "minuscule": "small"},
        **{"mid-sized": "medium", "average-sized": "medium"},
        **{"enormous": "large", "gigantic": "large", "huge": "large"},
    },
    "noun": {
        **{"kitten": "cat", "puppy": "dog", "hound": "dog", "pony": "horse", "stallion": "horse"},
        **{"piglet": "pig", "lamb": "sheep", "calf": "cow", "hare": "rabbit"},
        **{"serpent": "snake", "tortoise": "turtle", "toad": "frog", "mallard": "duck"},
        **{"ladybird": "ladybug", "macaw": "parrot", "tarantula": "spider", "vixen": "fox"},
        **{"automobile": "car", "sedan": "car", "bike": "bicycle", "coach": "bus"},
        **{"locomotive": "train", "aircraft": "airplane", "chopper": "helicopter"},
        **{"yacht": "sailboat", "cottage": "house", "fortress": "castle", "crescent": "moon"},
        **{"toadstool": "mushroom", "aubergine": "eggplant", "gown": "dress", "tiara": "crown"},
        **{"rucksack": "backpack", "hatchet": "axe", "parasol": "umbrella"},
        **{"pail": "bucket", "goblet": "wine glass"},
        **{"parcel": "box", "present": "gift", "football": "soccer ball", "android": "robot"},
        **{"phantom": "ghost", "cranium": "skull", "blaze": "flame"},
        **{"disc": "circle", "rhombus": "diamond", "hoop": "ring", "plus sign": "cross"},
    },
    "relation": {
        **{"on the left-hand side of": "left of", "leftward of": "left of"},
        **{"on the right-hand side of": "right of", "rightward of": "right of"},
        **{
            "higher than": "above",
            "beneath": "below",
            "underneath": "below",
            "lower than": "below",
        },
    },
}
FRAMES = (
    *("{}",) * 24,
    *("a picture of {}", "there is {}", "a drawing of {}", "an image of {}", "this is {}"),
    *("here is {}", "we see {}", "you can see {}", "look at {}", "draw {}", "please draw {}"),
    *("show me {}", "make {}", "I would like {}", "an illustration of {}", "paint {}", "only {}"),
    *("a simple picture showing {}", "just {}", "a poster with {}", "a card that shows {}"),
    *("the picture shows {}", "{} and nothing else", "a neat drawing of {}", "{}, please"),
    *("the child has painted {}", "my new logo is {}", "could you sketch {} for me"),
    *("an illustration showing {}", "I want to see {}", "a postcard with {}", "imagine {}"),
    *("a stamp that shows {}", "{}, drawn yesterday", "{} for my sister's birthday"),
    *("a friend sent me {}", "{} as in a children's story", "{}, seen on Monday"),
    *("can you make {}", "for tomorrow I need {}", "what I had in mind was {}"),
)
FULL = (  # one object, its colour and its size
    *("a {size} {colour} {noun}", "a {size} {colour} {noun}", "a {size} {colour} {noun}"),
    *("a {size} {colour} {noun}", "a {size} {colour} {noun}", "a {size} {colour} {noun}"),
    *("one {size} {colour} {noun}", "the {size} {colour} {noun}", "a {size} {noun} in {colour}"),
    *("a {colour} {noun} that is {size}", "a {size} {noun} painted {colour}"),
    *("a {size} {noun} that is {colour}", "a {noun} that is {size} and {colour}"),
    *("a {size} {noun} whose colour is {colour}", "a {size} {noun} coloured {colour}"),
)
COLOURED = (
    *("a {colour} {noun}", "a {colour} {noun}", "a {colour} {noun}", "a {colour} {noun}"),
    *("a {colour} {noun}", "a {colour} {noun}", "one {colour} {noun}", "the {colour} {noun}"),
    *("a {noun} in {colour}", "a {noun} painted {colour}", "a {noun} that is {colour}"),
    *("a {noun} coloured {colour}", "a {noun} whose colour is {colour}"),
)
SIZED = (
    *("a {size} {noun}", "a {size} {noun}", "a {size} {noun}", "a {size} {noun}"),
    *("one {size} {noun}", "the {size} {noun}", "a {noun} that is {size}"),
    *("a single {size} {noun}", "a {noun} which is {size}"),
)
BARE = (
    "a {noun}",
    "a {noun}",
    "a {noun}",
    "a {noun}",
    "one {noun}",
    "the {noun}",
    "a single {noun}",
)
COUNTED = (
    *("{count} {what}", "{count} {what}", "{count} {what}", "exactly {count} {what}"),
    *("a group of {count} {what}", "a set of {count} {what}", "{what}, {count} of them"),
)
JOINED = {
    "left of": (
        *("{0} to the left of {1}", "{0} left of {1}", "{1} to the right of {0}"),
        *("{1} right of {0}", "{0} on the left and {1} on the right"),
        *("{1} on the right and {0} on the left", "{0} with {1} to its right"),
        *("{1} with {0} to its left", "{0} standing left of {1}", "{1} standing right of {0}"),
    ),
    "above": (
        *("{0} above {1}", "{0} over {1}", "{1} below {0}", "{1} under {0}"),
        *("{0} at the top and {1} at the bottom", "{1} at the bottom and {0} at the top"),
        *("{0} with {1} below it", "{1} with {0} above it"),
        *("{0} further up than {1}", "{1} further down than {0}"),
    ),
    None: (
        *("{0} and {1}", "{1} and {0}", "{0} and also {1}", "{0} together with {1}"),
        *("{1} together with {0}", "both {0} and {1}", "{0} as well as {1}"),
    ),
}
JOINED_TEXT_ONLY = {
    "left of": (
        *("{0} on the left-hand side of {1}", "{1} on the right-hand side of {0}"),
        *("{0} leftward of {1}", "{1} rightward of {0}"),
    ),
    "above": (
        *("{1} beneath {0}", "{1} underneath {0}", "{0} higher than {1}", "{1} lower than {0}"),
    ),
}
TRIPLES = {
    "left of": (
        *("{0}, {1} and {2} from left to right", "from left to right {0}, {1} and {2}"),
        *("left to right: {0}, {1} and {2}", "{2}, {1} and {0} from right to left"),
        *("{0}, then {1}, then {2} going right", "{0} left of {1}, which is left of {2}"),
    ),
    "above": (
        *("{0}, {1} and {2} from top to bottom", "from top to bottom {0}, {1} and {2}"),
        *("top to bottom: {0}, {1} and {2}", "{2}, {1} and {0} from bottom to top"),
        *("{0}, then {1}, then {2} going down", "{0} above {1}, which is above {2}"),
    ),
    None: (
        *("{0}, {1} and {2}", "{2}, {0} and {1}", "{1} and {2} and {0}"),
        *("{0}, {1} together with {2}", "{0}, {2} and also {1}"),
    ),
}
PLACED = {
    "left": ("{} on the left", "{} at the left edge", "{} to the left", "{} on the left side"),
    "right": ("{} on the right", "{} at the right edge", "{} to the right", "{} on the right side"),
    "top": ("{} at the top", "{} near the top", "{} far up", "{} at the upper edge"),
    "bottom": ("{} at the bottom", "{} near the bottom", "{} far down", "{} at the lower edge"),
    "centre": (
        "{} in the centre",
        "{} in the middle",
        "{} at the centre",
        "{} right in the middle",
    ),
    **{
        f"{v} {h}": (
            *(f"{{}} in the {v} {h} corner", f"{{}} tucked into the {v} {h} corner"),
            *(f"{{}} at the {v} {h}", f"{{}} in the {u} {h} corner"),
        )
        for v, u in (("top", "upper"), ("bottom", "lower"))
        for h in ("left", "right")
    },
}
PAGES = {  # a page with one colour, then with two
    ("plain", 1): (
        *("a {c} page", "a plain {c} page", "a {c} background", "plain {c} paper"),
        *("a sheet of {c} paper", "an empty {c} page", "an all {c} page"),
    ),
    ("gradient", 1): (
        *("a {c} gradient", "a page with a {c} gradient", "a {c} page that deepens downwards"),
        *("a {c} page, pale at the top and deep at the bottom", "a shaded {c} page"),
    ),
    ("gradient", 2): (
        *("a page fading from {c} to {s}", "a gradient from {c} to {s}"),
        *("a page that goes from {c} at the top to {s} at the bottom", "{c} turning into {s}"),
    ),
    ("striped", 1): (
        *("a striped {c} page", "a page with {c} stripes", "a {c} striped background"),
        *("{c} stripes", "paper striped in {c}", "a {c} page with stripes"),
    ),
    ("striped", 2): (
        *(
            "a page with {c} and {s} stripes",
            "{c} and {s} stripes",
            "a page striped in {c} and {s}",
        ),
        *("stripes of {s} and {c}", "paper with {s} and {c} stripes"),
    ),
    ("dotted", 1): (
        *("a dotted {c} page", "a {c} page with dots", "a {c} polka-dot page"),
        *("{c} paper with dots", "a spotted {c} background"),
    ),
    ("dotted", 2): (
        *("a {c} page with {s} dots", "{s} dots on {c} paper", "a {c} page dotted in {s}"),
        *("{c} paper with {s} dots", "a {c} background with {s} dots"),
    ),
    ("ground", 2): (
        *("{s} ground under a {c} sky", "a {s} ground with a {c} sky", "{s} land under a {c} sky"),
        *("a {s} field under a {c} sky", "{s} ground below a {c} sky"),
    ),
}
ON_PAGE = (*("{} on {}",) * 4, "{}, on {}", "{} against {}", "{} in front of {}")
PLURALS = {noun: noun for noun in ("fish", "sheep", "jellyfish", "aircraft")}
PLURALS |= {"leaf": "leaves", "snowman": "snowmen"}


@cache
def trained(table: tuple[str, ...]) -> tuple[str, ...]:
    """The wordings of a table that training captions use."""
    kept = held_out(table)
    return tuple(wording for wording in table if wording not in kept)


@cache
def held_out(table: tuple[str, ...]) -> tuple[str, ...]:
    """The wordings of a table that no training caption has: a tenth, at least one, never the first,
    which is the plainest.
    """
    each = sorted(set(table) - {table[0]}, key=lambda wording: share("wording", wording))
    return tuple(each[: max(1, round(HELD_OUT * len(each)))])


@cache
def text_only(kind: str, meaning: str) -> tuple[str, ...]:
    """The text-only words of a kind ("colour", "page colour", "size", "noun", "relation")
    with that meaning."""
    return tuple(word for word, canonical in TEXT_ONLY[kind].items() if canonical == meaning)


@cache
def plural(noun: str) -> str:
    """A noun in the plural: "two crosses", "two butterflies", "two sheep"."""
    if noun in PLURALS:
        return PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
