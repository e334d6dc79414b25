"""Everything mode over many images: several in flight, on all devices of this process.

An image's way is read, resize, embed, ask about points, suppress, code as run lengths.
Some of it is the host's work and some the device's; with a few images under way at a
time, each on a thread of its own, one image's host work is done while the device works
on another's. Devices take images in turn.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from samjax.data.images import Item
from samjax.data.schema import Annotation
from samjax.inference.automatic import generate_masks
from samjax.inference.automatic_config import AutomaticConfig
from samjax.inference.images import read_image
from samjax.inference.predictor import Predictor


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What became of one image.

    Attributes:
        item: the image.
        source: what `item.read` gave: the bytes of its file, or an image in memory.
        image: its pixels, RGB, upright.
        annotations: its masks.
        problem: why there are none, where it could not be read; else None.
    """

    item: Item
    source: Any = None
    image: UInt8[np.ndarray, "h w 3"] | None = None
    annotations: tuple[Annotation, ...] = ()
    problem: str | None = None


def generate_for_many(
    predictor: Predictor,
    items: Iterable[Item],
    config: AutomaticConfig | None = None,
    *,
    in_flight: int = 2,
) -> Iterator[Outcome]:
    """Segments everything in many images.

    Args:
        predictor: the model.
        items: images, from `samjax.data.images.find_images`.
        config: options; by default the release's.
        in_flight: images under way at a time on each device. Memory grows with it.

    Yields:
        The outcome of every image, in their order. An image that cannot be read is an
        outcome too; everything else is raised.
    """
    predictors = _one_per_device(predictor)
    config = config or AutomaticConfig()
    threads = in_flight * len(predictors)
    waiting: collections.deque[Future[Outcome]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for number, item in enumerate(items):
                on_device = predictors[number % len(predictors)]
                waiting.append(pool.submit(_generate, on_device, item, config))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _one_per_device(predictor: Predictor) -> list[Predictor]:
    devices = jax.local_devices()
    if len(devices) == 1:
        return [predictor]
    return [
        dataclasses.replace(predictor, params=jax.device_put(predictor.params, device))
        for device in devices
    ]


def _generate(predictor: Predictor, item: Item, config: AutomaticConfig) -> Outcome:
    try:
        source = item.read()
        image = read_image(source)
    except (ValueError, OSError) as error:
        return Outcome(item=item, problem=" ".join(str(error).split()))
    annotations = generate_masks(predictor, image, config)
    return Outcome(
        item=item, source=source, image=image, annotations=tuple(annotations)
    )
