"""Everything mode over many images: several in flight, on all devices of this process.

An image's way is read, resize, embed, ask about points, suppress, code as run lengths.
Some of it is the host's work and some the device's; with a few images under way at a
time, each on a thread of its own, one image's host work is done while the device works
on another's. Devices take images in turn.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np
from jaxtyping import UInt8

from samjax.data.images import Item
from samjax.data.large_images import ArrayImage, open_large_image
from samjax.data.schema import Annotation
from samjax.devices import explain
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import generate_masks
from samjax.inference.automatic.tiles import generate_masks_in_tiles
from samjax.inference.images import read_image
from samjax.inference.predictor import Predictor

Generate = Callable[[Predictor, UInt8[np.ndarray, "h w 3"]], Sequence[Annotation]]
"""Makes the masks of an image."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What became of one image.

    Attributes:
        item: the image.
        size: (h, w) of the image; (0, 0) where it could not be read.
        image: its pixels, RGB, upright; None where they are not held.
        annotations: its masks.
        problem: why there are none, where it could not be read or segmented; else None.
    """

    item: Item
    size: tuple[int, int] = (0, 0)
    image: UInt8[np.ndarray, "h w 3"] | None = None
    annotations: tuple[Annotation, ...] = ()
    problem: str | None = None


def generate_for_many(
    predictor: Predictor,
    items: Iterable[Item],
    config: AutomaticConfig | None = None,
    *,
    in_flight: int = 2,
    tile_size: int | None = None,
    generate: Generate | None = None,
) -> Iterator[Outcome]:
    """Segments everything in many images.

    Args:
        predictor: the model.
        items: images, from `samjax.data.images.find_images`.
        config: options; by default the release's, with the thresholds that suit the
            model (`AutomaticConfig.for_model`).
        in_flight: images under way at a time on each device. Memory grows with it.
        tile_size: takes images to be very large, and goes over them in tiles of so many
            pixels; None takes each as a whole.
        generate: makes the masks of an image that is taken as a whole; None stands for
            `generate_masks` with `config`.

    Yields:
        The outcome of every image, in their order. An image that cannot be read, or
        that fails in any other way, is an outcome too.

    Raises:
        ImportError: a package is missing, which no image could do without.
    """
    predictors = _one_per_device(predictor)
    config = config or AutomaticConfig().for_model(predictor.model.config)
    generate = generate or _by_everything_mode(config)
    threads = in_flight * len(predictors)
    waiting: collections.deque[Future[Outcome]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for number, item in enumerate(items):
                on_device = predictors[number % len(predictors)]
                future = pool.submit(
                    _generate, on_device, item, config, tile_size, generate
                )
                waiting.append(future)
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _by_everything_mode(config: AutomaticConfig) -> Generate:
    return lambda predictor, image: generate_masks(predictor, image, config)


def _one_per_device(predictor: Predictor) -> list[Predictor]:
    devices = jax.local_devices()
    if len(devices) == 1:
        return [predictor]
    return [
        dataclasses.replace(predictor, params=jax.device_put(predictor.params, device))
        for device in devices
    ]


def _generate(
    predictor: Predictor,
    item: Item,
    config: AutomaticConfig,
    tile_size: int | None,
    generate: Generate,
) -> Outcome:
    """Segments an image; whatever it fails with stays its own trouble."""
    try:
        if tile_size is not None:
            return _generate_in_tiles(predictor, item, config, tile_size)
        image = read_image(item.read())
        annotations = generate(predictor, image)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001
        return Outcome(item=item, problem=_in_words(error))
    return Outcome(
        item=item, size=image.shape[:2], image=image, annotations=tuple(annotations)
    )


def _generate_in_tiles(
    predictor: Predictor, item: Item, config: AutomaticConfig, tile_size: int
) -> Outcome:
    if item.path is None:
        image = ArrayImage(read_image(item.read()))
    else:
        image = open_large_image(item.path)
    annotations = generate_masks_in_tiles(predictor, image, config, tile_size=tile_size)
    return Outcome(item=item, size=image.size, annotations=tuple(annotations))


def _in_words(error: Exception) -> str:
    """One line that says what went wrong with an image."""
    said = " ".join((explain(error) or str(error)).split())[:MAX_PROBLEM]
    if isinstance(error, ValueError | OSError) or explain(error):
        return said
    # An error that nobody foresaw is told with its kind: its words alone may be none.
    return f"{type(error).__name__}: {said}"


MAX_PROBLEM = 1000
