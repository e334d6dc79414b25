"""Prompts a second from a ready embedding: batches against one reference call each.

    python tools/benchmarks/prompts.py --prompts 64 --repeats 5 --json out.json

Timed: single points in pixels of a photo to three boolean masks of its size and their
predicted IoUs in NumPy. The reference's `SamPredictor.predict` is called once for every
point, samjax's segmenter of `samjax evaluate` once for all, which decodes them in
batches. Both decode the same embedding in turn; the first round, with compilation, is
reported separately. Processor time of all threads is given beside, which other work on
the machine disturbs less. `--small` takes a model of an input of 256 in place of ViT-B.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="vit_b", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    sam, model, params = build(None if options.small else options.size)
    grid, channels = model.config.grid_size, model.config.prompt_embed_dim
    # The time of a prompt does not depend on the embedding's values: noise saves the
    # encoder.
    rng = np.random.default_rng(0)
    features = rng.standard_normal((grid, grid, channels)).astype(np.float32)
    points = rng.uniform(0, 1, (options.prompts, 2)) * [options.width, options.height]
    photo = options.height, options.width
    calls = {
        "reference, a call each": reference(sam, features, points, photo),
        "samjax, batches": samjax_batches(model, params, features, points, photo),
    }
    processor: dict[str, list[float]] = {name: [] for name in calls}
    figures = peers.time_in_turn(
        {name: measured(call, processor[name]) for name, call in calls.items()},
        options.repeats,
    )
    result = peers.report(
        figures,
        "reference, a call each",
        model="small" if options.small else options.size,
        prompts=options.prompts,
        photo=photo,
    )
    for name, figure in figures.items():
        figure["prompts_a_second"] = round(options.prompts / figure["median"], 2)
        figure["processor_seconds"] = processor[name][1:]
        print(f"{name}: {figure['prompts_a_second']} prompts a second")
    for kind in ("seconds", "processor_seconds"):
        pairs = zip(*(figure[kind] for figure in figures.values()), strict=True)
        ratio = float(np.median([theirs / ours for theirs, ours in pairs]))
        result[f"times_as_many, {kind}"] = round(ratio, 2)
        print(f"samjax decodes {ratio:.2f} times as many, {kind} of paired rounds")
    peers.write(result, options.json)


def measured(call: Callable[[], object], seconds: list[float]) -> Callable[[], None]:
    """Returns the call, which appends its processor time."""

    def timed():
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)

    return timed


def build(size: str | None):
    """Returns a reference model of random weights, and the same model of samjax."""
    import reference as published
    import small_reference

    from samjax.models import SIZES, Sam

    config = small_reference.CONFIG if size is None else SIZES[size]
    sam = published.build_reference(config)
    return sam, Sam(config), published.to_params(sam, config)


def reference(sam, features, points, photo):
    import reference as published
    import torch

    predictor = published.import_reference().SamPredictor(sam)
    side = sam.image_encoder.img_size
    predictor.original_size = photo
    predictor.input_size = predictor.transform.get_preprocess_shape(*photo, side)
    predictor.features = torch.from_numpy(features.transpose(2, 0, 1).copy())[None]
    predictor.is_image_set = True

    def call():
        for point in points:
            predictor.predict(point_coords=point[None], point_labels=np.array([1]))

    return call


def samjax_batches(model, params, features, points, photo):
    import jax

    import samjax
    from samjax.evaluation.segmenter import PredictorSegmenter
    from samjax.geometry.frame import Frame

    predictor = samjax.Predictor(model, params)
    segmenter = PredictorSegmenter(predictor)
    embedding = samjax.ImageEmbedding(
        jax.device_put(features),
        Frame.fit(photo, model.config.image_size),
        predictor.fingerprint,
    )
    prompts = [samjax.Prompt(points=point[None]) for point in points]

    def call():
        for prediction in segmenter.predict(embedding, prompts):
            prediction.multimask.masks  # noqa: B018

    return call


if __name__ == "__main__":
    main()
