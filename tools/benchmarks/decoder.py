"""Latency of a click on an embedded image, against the PyTorch reference, in turn.

    python tools/benchmarks/decoder.py --repeats 30 --json out.json

Timed: from the prompt, in pixels of an 1800 x 1200 photo, to the boolean masks of that
size in NumPy, through each implementation's own predictor. The first call, with
compilation, is reported separately.
"""

import argparse
from pathlib import Path

import numpy as np
import peers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="vit_b", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--height", type=int, default=1200)
    parser.add_argument("--width", type=int, default=1800)
    parser.add_argument("--weights", type=Path, default=peers.ROOT / "runs" / "random")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    path = peers.random_weights(options.size, options.weights)
    photo = peers.demo_photo(options.height, options.width)
    calls = {}
    for multimask, suffix in ((True, "three masks"), (False, "one mask")):
        calls[f"reference, {suffix}"] = reference(path, options.size, photo, multimask)
        calls[f"samjax, {suffix}"] = samjax_click(path, photo, multimask)
    figures = peers.time_in_turn(calls, options.repeats)
    result = peers.report(
        figures, "reference, three masks", size=options.size, photo=photo.shape
    )
    for suffix in ("three masks", "one mask"):
        ratio = (
            figures[f"samjax, {suffix}"]["median"]
            / figures[f"reference, {suffix}"]["median"]
        )
        print(f"samjax / reference, {suffix}: {ratio:.3f}")
        result[f"ratio, {suffix}"] = round(ratio, 3)
    peers.write(result, options.json)


# The time of a click does not depend on the embedding's values: noise saves the
# encoder.
EMBEDDING = np.random.default_rng(0).standard_normal((64, 64, 256)).astype(np.float32)


def reference(path, size, photo, multimask):
    import reference as published
    import torch

    predictor = published.import_reference().SamPredictor(
        peers.reference_sam(path, size)
    )
    height, width = photo.shape[:2]
    predictor.original_size = (height, width)
    predictor.input_size = predictor.transform.get_preprocess_shape(height, width, 1024)
    predictor.features = torch.from_numpy(EMBEDDING.transpose(2, 0, 1).copy())[None]
    predictor.is_image_set = True

    def call():
        return predictor.predict(
            point_coords=np.array([[width / 3, height / 2]]),
            point_labels=np.array([1]),
            multimask_output=multimask,
        )

    return call


def samjax_click(path, photo, multimask):
    import jax

    import samjax
    from samjax.geometry.frame import Frame

    predictor = samjax.Predictor(*samjax.load(path))
    height, width = photo.shape[:2]
    embedding = samjax.ImageEmbedding(
        jax.device_put(EMBEDDING),
        Frame.fit((height, width), predictor.model.config.image_size),
        predictor.fingerprint,
    )

    def call():
        prompt = samjax.Prompt(points=[[width / 3, height / 2]], labels=[1])
        return predictor.predict(embedding, prompt, multimask=multimask).masks

    return call


if __name__ == "__main__":
    main()
