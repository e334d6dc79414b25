"""The words of prompts: names with their synonyms, and the words of captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from samjax.data.captioned import Caption
from samjax.data.captioned.captions import BIG, PLACES, SMALL
from samjax.data.captioned.things import COLOURS, THINGS
from samjax.text.splitting import split
from samjax.text.tokenizer import clean

SYNONYMS = {
    "airplane": ("plane", "aircraft"),
    "backpack": ("rucksack", "bag"),
    "baseball glove": ("glove",),
    "baseball bat": ("bat",),
    "bicycle": ("bike",),
    "boat": ("ship",),
    "bowl": ("dish",),
    "car": ("automobile",),
    "cat": ("kitten", "kitty"),
    "cell phone": ("phone", "mobile phone", "smartphone"),
    "couch": ("sofa",),
    "cup": ("mug",),
    "dining table": ("table",),
    "dog": ("puppy",),
    "donut": ("doughnut",),
    "glass bottle": ("bottle",),
    "handbag": ("bag", "purse"),
    "horse": ("pony",),
    "laptop": ("computer", "notebook computer"),
    "motorcycle": ("motorbike",),
    "mouse": ("computer mouse",),
    "person": ("human", "somebody"),
    "plant": ("vegetation", "bush"),
    "plastic bottle": ("bottle",),
    "potted plant": ("plant", "houseplant"),
    "refrigerator": ("fridge",),
    "remote": ("remote control",),
    "sports ball": ("ball",),
    "suitcase": ("luggage",),
    "teddy bear": ("stuffed animal", "toy"),
    "toilet": ("toilet bowl",),
    "truck": ("lorry",),
    "tv": ("television", "screen", "monitor"),
    "wine glass": ("glass", "goblet"),
}
KINDS = {
    "animal": "bird cat dog horse sheep cow elephant bear zebra giraffe rabbit",
    "vehicle": "car truck bus motorcycle bicycle train airplane boat",
    "fruit": "apple orange banana",
    "food": "sandwich pizza donut cake broccoli carrot banana apple orange",
    "furniture": "chair couch bed bench",
}
# Words of captions that name nothing that can be seen in one place.
_STOP = (
    "a an the of on in at to and with is are was were be been being has have had it its "
    "his her their there this that these those some as by for from into onto over under "
    "near next up down out off around through very two three four five six several many "
    "few lot group couple bunch pair other another each all both while who which what "
    "where when one piece image picture photo view shot scene side front back top bottom "
    "left right middle background foreground area place way day time close"
    " he she they them him you your i we our us no not or but so if then than too also "
    "about above across after against along among before behind below beneath beside "
    "between beyond during inside outside like just"
)
STOP = frozenset(_STOP.split())
ARTICLES = ("a", "the", "the", "")


def vocabulary(captions: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Returns the words of a model: those of names, scenes and captions, in order.

    Args:
        captions: Captions of photos; their words are taken from the second occurrence.
        names: Names of things.
    """
    counts = Counter(word for caption in captions for word in split(clean(caption)))
    # Words of three letters and more, but for the few short ones that matter.
    words = {w for w, n in counts.items() if n > 1 and re.fullmatch("[a-z]{2,}", w)}
    phrases = [*names, *SYNONYMS, *KINDS, *KINDS.values(), *PLACES, *BIG, *SMALL]
    phrases += [word for words_of in SYNONYMS.values() for word in words_of]
    phrases += [*COLOURS, *THINGS, "a an the of gray"]
    for thing in THINGS.values():
        phrases += [piece.part for piece in thing() if piece.part]
    return tuple(
        sorted(words | {w for phrase in phrases for w in split(clean(phrase))})
    )


def kinds_of(name: str) -> list[str]:
    """Returns the kinds that a name belongs to."""
    return [kind for kind, names in KINDS.items() if name in names.split()]


def name_in_words(
    name: str,
    generator: np.random.Generator,
    plurals: frozenset[str] = frozenset(),
) -> str:
    """Returns a name, a synonym or its kind, with any article or none.

    Args:
        name: The name.
        generator: Draws the words.
        plurals: Words that a name may end in where there are several.
    """
    words = name
    if name in SYNONYMS and generator.uniform() < 0.3:
        words = generator.choice(SYNONYMS[name])
    elif (kinds := kinds_of(name)) and generator.uniform() < 0.06:
        words = generator.choice(kinds)
    if f"{words.split()[-1]}s" in plurals and generator.uniform() < 0.2:
        return f"{words}s"
    article = ARTICLES[generator.integers(len(ARTICLES))]
    if article == "a" and words[0] in "aeiou":
        article = "an"
    return f"{article} {words}".strip()


def caption_in_words(caption: Caption, generator: np.random.Generator) -> str:
    """Returns a caption of a drawn thing, with any article or none."""
    if caption.colour == "grey" and generator.uniform() < 0.3:
        caption = caption._replace(colour="gray")
    return caption.text(ARTICLES[generator.integers(len(ARTICLES))])


def seen_words(captions: Iterable[str], known: frozenset[str]) -> list[str]:
    """Returns the words of a photo's captions that may name something in it."""
    words = {word for caption in captions for word in split(clean(caption))}
    return sorted(w for w in words if w in known and w not in STOP and w[-3:] != "ing")
