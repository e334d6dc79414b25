"""Everything mode on one photo, against the PyTorch reference, in turn.

    python tools/benchmarks/everything.py --repeats 1 --json out.json

Timed: from a 1500 x 2250 photo in memory to its records, through each implementation's
own generator with its default options. The threshold of the predicted IoU is set so
that about a third of the masks of random weights pass, as with trained ones; the
stability threshold is 0. `--parts` times samjax's encoder and whole calls for several
sizes of chunks, without the reference; `--memory` measures the peak resident memory of
each implementation in a process of its own.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import peers

PASSING = 1 / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="vit_b", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--height", type=int, default=1500)
    parser.add_argument("--width", type=int, default=2250)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--points-per-batch", type=int, nargs="*", default=[64])
    parser.add_argument("--weights", type=Path, default=peers.ROOT / "runs" / "random")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", help="implementations to run")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()

    path = peers.random_weights(options.size, options.weights)
    photo = peers.demo_photo(options.height, options.width)
    if options.memory:
        result = measure_memory(options)
    elif options.parts:
        result = time_parts(options, path, photo)
    else:
        names = options.only or ["reference", "samjax"]
        build = {"reference": reference, "samjax": samjax_generator}
        settings = {
            "points_per_side": options.points_per_side,
            "points_per_batch": options.points_per_batch[0],
            "pred_iou_thresh": threshold(options, path, photo),
            "stability_score_thresh": 0.0,
        }
        calls = {name: build[name](path, options, photo, settings) for name in names}
        figures = peers.time_in_turn(calls, options.repeats)
        result = peers.report(
            figures, names[0], size=options.size, photo=photo.shape, options=settings
        )
    peers.write(result, options.json)


def threshold(options, path, photo) -> float:
    """Returns the predicted IoU that about a third of all masks exceed."""
    import samjax
    from samjax.geometry.grids import point_grid

    predictor = samjax.Predictor(*samjax.load(path))
    embedding = predictor.embed(photo)
    points = point_grid(8) * [photo.shape[1], photo.shape[0]]
    prompts = [samjax.Prompt(points=point[None]) for point in points]
    (predictions,) = predictor.predict_batch([embedding], [prompts], multimask=True)
    scores = np.concatenate([masks.scores for masks in predictions])
    return float(np.quantile(scores, 1 - PASSING))


def reference(path, options, photo, settings):
    import reference as published

    sam = peers.reference_sam(path, options.size)
    generator = published.import_reference().SamAutomaticMaskGenerator(sam, **settings)
    return lambda: generator.generate(photo)


def samjax_generator(path, options, photo, settings):
    import samjax
    from samjax.inference import AutomaticConfig

    predictor = samjax.Predictor(*samjax.load(path, dtype=options.dtype))
    config = AutomaticConfig(**settings, output_mode="binary_mask")
    return lambda: samjax.generate_masks(predictor, photo, config)


def time_parts(options, path, photo) -> dict:
    """Times the encoder and whole calls, for several numbers of points per batch."""
    import jax

    import samjax
    from samjax.inference import AutomaticConfig

    predictor = samjax.Predictor(*samjax.load(path, dtype=options.dtype))
    level = threshold(options, path, photo)
    calls = {"embed": lambda: jax.block_until_ready(predictor.embed(photo).features)}
    for chunk in options.points_per_batch:
        for name, iou in (("none pass", 1e9), ("a third passes", level)):
            config = AutomaticConfig(
                points_per_side=options.points_per_side,
                points_per_batch=chunk,
                pred_iou_thresh=iou,
                stability_score_thresh=0.0,
            )
            calls[f"{chunk} points, {name}"] = lambda config=config: (
                samjax.generate_masks(predictor, photo, config)
            )
    figures = peers.time_in_turn(calls, options.repeats)
    return peers.report(
        figures, "embed", size=options.size, photo=photo.shape, dtype=options.dtype
    )


def measure_memory(options) -> dict:
    """Measures the peak memory of each implementation, smallest first."""
    peaks = {}
    for name in ("samjax", "reference"):
        arguments = ["--size", options.size, "--weights", str(options.weights)]
        arguments += ["--repeats", "0", "--only", name]
        arguments += ["--points-per-side", str(options.points_per_side)]
        start = time.perf_counter()
        peaks[name] = peers.peak_memory(__file__, arguments)
        seconds = time.perf_counter() - start
        print(f"{name:32s} {peaks[name]:9.0f} MiB, {seconds:.0f} s")
    return {"size": options.size, "peak_mib": peaks}


if __name__ == "__main__":
    main()
