"""Everything mode over many images: several in flight, on all devices of this process.

An image is read, resized, embedded, prompted with points, suppressed (NMS) and encoded as
run lengths, partly on the host and partly on the device. With a few images in flight, each
in a thread of its own, the host's work on one overlaps the device's work on another.
Images are assigned to devices round robin.
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
"""Returns the masks of an image."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """Result of everything mode for one image.

    Attributes:
        item: the image.
        size: (h, w) of the image; (0, 0) where it could not be read.
        image: its pixels, RGB, upright; None where they were not kept.
        annotations: its masks.
        problem: the error, where it could not be read or segmented; else None.
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
        in_flight: number of images in flight on each device. Memory grows with it.
        tile_size: side of the tiles that very large images are segmented in; None for
            no tiles.
        generate: returns the masks of an image without tiles; None for `generate_masks`
            with `config`.

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
            for index, item in enumerate(items):
                on_device = predictors[index % len(predictors)]
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
    """Segments an image; any error but a missing package becomes its `problem`."""
    try:
        if tile_size is not None:
            return _generate_in_tiles(predictor, item, config, tile_size)
        image = read_image(item.read())
        annotations = generate(predictor, image)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001
        return Outcome(item=item, problem=_problem_of(error))
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


def _problem_of(error: Exception) -> str:
    """Returns an error as one line of text."""
    message = " ".join((explain(error) or str(error)).split())[:MAX_PROBLEM]
    if isinstance(error, ValueError | OSError) or explain(error):
        return message
    # With its type: the message of an unexpected error may be empty.
    return f"{type(error).__name__}: {message}"


MAX_PROBLEM = 1000
