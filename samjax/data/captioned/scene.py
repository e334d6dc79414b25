"""Scenes of things on a plain ground, drawn from a seed with Pillow."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFilter

from samjax.data.captioned.captions import Caption, Seen, describe
from samjax.data.captioned.things import BODY, COLOURS, THIN, THINGS


class DrawnObject(NamedTuple):
    """A thing of a scene, or a part of one.

    Attributes:
        mask: Its visible pixels.
        captions: Captions that are true of it and of no other thing, shorter ones
            first.
        parent: Index of the thing that it is a part of, or -1.
    """

    mask: Bool[np.ndarray, "h w"]
    captions: tuple[Caption, ...]
    parent: int = -1


class CaptionedScene(NamedTuple):
    """An image, and the things in it that can be described.

    Attributes:
        image: RGB.
        objects: Things first, then parts; those without a caption are left out.
        names: Names of all things that are drawn.
    """

    image: UInt8[np.ndarray, "h w 3"]
    objects: tuple[DrawnObject, ...]
    names: frozenset[str] = frozenset()


class _Thing(NamedTuple):
    name: str
    colour: str
    rgb: Float[np.ndarray, " 3"]
    centre: Float[np.ndarray, " 2"]
    scale: float
    angle: float


def draw_scene(seed: int, size: int = 512) -> CaptionedScene:
    """Draws a scene.

    Args:
        seed: Determines the scene; a seed gives the same one at every size, up to
            rounding.
        size: Side of the image in pixels.
    """
    generator = np.random.default_rng(seed)
    things = _place_things(generator)
    image = _ground(generator, size)
    owner = np.zeros((size, size), np.int32)
    parts: list[tuple[int, str]] = []
    for index, thing in enumerate(things):
        image = _drop_shadow(generator, image, thing, size)
        _paint(generator, image, owner, parts, index, thing, size)
    grain = generator.normal(0, generator.uniform(1, 6), image.shape)
    pixels = np.clip(image + grain, 0, 255).astype(np.uint8)
    blurred = Image.fromarray(pixels).filter(
        ImageFilter.GaussianBlur(generator.uniform(0.3, 1.0) * size / 512)
    )
    names = frozenset(thing.name for thing in things)
    return CaptionedScene(np.asarray(blurred), _objects(things, owner, parts), names)


def _place_things(generator: np.random.Generator) -> list[_Thing]:
    """Chooses things, some of one name so that colour, size and place matter."""
    names = list(THINGS)
    kinds = generator.choice(len(names), generator.integers(2, 5), replace=False)
    things: list[_Thing] = []
    wanted = generator.integers(3, 8)
    for _ in range(60):
        if len(things) == wanted:
            break
        name = names[generator.choice(kinds)]
        colour = list(COLOURS)[generator.integers(len(COLOURS))]
        scale = 0.06 * (0.24 / 0.06) ** generator.uniform()
        # Upright, mostly, as things in photos are.
        angle = generator.normal(0, 0.25)
        if name in THIN and generator.uniform() < 0.6:
            angle = generator.uniform(0, 2 * math.pi)
        scale *= 1.4 if name in THIN else 1.0
        centre = generator.uniform(0.8 * scale, 1 - 0.8 * scale, 2)
        apart = all(
            np.hypot(*(centre - other.centre)) > 0.75 * (scale + other.scale)
            for other in things
        )
        if apart:
            rgb = np.array(COLOURS[colour]) + generator.normal(0, 8, 3)
            rgb = np.clip(rgb * generator.uniform(0.85, 1.1), 0, 255)
            things.append(_Thing(name, colour, rgb, centre, scale, angle))
    return things


def _ground(generator: np.random.Generator, size: int) -> np.ndarray:
    """Returns a ground of slowly changing colour, with blotches."""
    coarse = generator.uniform(0, 255, (1, 1, 3)) * generator.uniform(0.3, 1)
    grey = coarse.mean()
    # Grounds of photos are mostly of low saturation.
    coarse = grey + (coarse - grey) * generator.uniform(0.1, 0.7)
    cells = int(generator.integers(2, 9))
    blotches = generator.normal(0, generator.uniform(3, 28), (cells, cells, 3))
    field = np.clip(coarse + blotches, 0, 255).astype(np.uint8)
    return np.asarray(
        Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC),
        np.float32,
    ).copy()


def _corners(
    thing: _Thing, outline: np.ndarray, size: int
) -> list[tuple[float, float]]:
    cosine, sine = math.cos(thing.angle), math.sin(thing.angle)
    turned = outline @ np.array([[cosine, sine], [-sine, cosine]])
    placed = (thing.centre + turned * thing.scale) * size
    return [(float(x), float(y)) for x, y in placed]


def _drop_shadow(
    generator: np.random.Generator, image: np.ndarray, thing: _Thing, size: int
) -> np.ndarray:
    darkness = generator.uniform(0, 0.6)
    offset = generator.uniform(0, 0.03, 2) * size
    shadow = Image.new("L", (size, size))
    draw = ImageDraw.Draw(shadow)
    for piece in THINGS[thing.name]():
        corners = _corners(thing, piece.outline, size)
        draw.polygon([(x + offset[0], y + offset[1]) for x, y in corners], fill=255)
    shadow = shadow.filter(ImageFilter.GaussianBlur(size * 0.012))
    return image * (1 - darkness * np.asarray(shadow, np.float32)[..., None] / 255)


def _paint(
    generator: np.random.Generator,
    image: np.ndarray,
    owner: Int[np.ndarray, "h w"],
    parts: list[tuple[int, str]],
    index: int,
    thing: _Thing,
    size: int,
) -> None:
    """Draws a thing in place; its parts get ids in `owner`, which `parts` explains."""
    ramp = np.linspace(-1, 1, size)
    slope = generator.normal(0, 25, 2)
    shade = (slope[0] * ramp[None, :] + slope[1] * ramp[:, None])[..., None]
    own_colours: dict[str, np.ndarray] = {}
    ids: dict[str, int] = {}
    for piece in THINGS[thing.name]():
        if piece.part not in ids:
            parts.append((index, piece.part))
            ids[piece.part] = len(parts)
            other = np.array(list(COLOURS.values())[generator.integers(len(COLOURS))])
            own_colours[piece.part] = other + generator.normal(0, 8, 3)
        rgb = thing.rgb if piece.is_coloured else own_colours[piece.part]
        if piece.is_coloured and piece.part != BODY:
            rgb = rgb * 0.88
        canvas = Image.new("L", (size, size))
        draw = ImageDraw.Draw(canvas)
        draw.polygon(_corners(thing, piece.outline, size), fill=255)
        inside = np.asarray(canvas) > 0
        image[inside] = (rgb + shade)[inside]
        owner[inside] = ids[piece.part]


def _objects(
    things: list[_Thing], owner: Int[np.ndarray, "h w"], parts: list[tuple[int, str]]
) -> tuple[DrawnObject, ...]:
    size = len(owner)
    thing_of = np.array([-1, *(index for index, _ in parts)])[owner]
    masks = [thing_of == index for index in range(len(things))]
    seen = []
    for thing, mask in zip(things, masks, strict=True):
        x, y = thing.centre
        area = float(mask.sum())
        seen.append(Seen(thing.name, thing.colour, area, (float(x), float(y))))
    captions = describe(seen)
    objects, places = [], {}
    for index, (mask, of_thing) in enumerate(zip(masks, captions, strict=True)):
        if of_thing and mask.sum() >= SMALLEST * size**2:
            places[index] = len(objects)
            objects.append(DrawnObject(mask, tuple(of_thing)))
    for number, (index, part) in enumerate(parts, 1):
        mask = owner == number
        if part == BODY or index not in places or mask.sum() < SMALLEST * size**2 / 4:
            continue
        of_part = tuple(caption._replace(part=part) for caption in captions[index])
        objects.append(DrawnObject(mask, of_part, places[index]))
    return tuple(objects)


SMALLEST = 0.003
"""The smallest visible area of a thing with a caption, as a share of the image; parts may
have a quarter of it."""
