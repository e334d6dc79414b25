"""Latency of the image encoder, against the PyTorch reference and transformers, in turn.

    python tools/benchmarks/encoder.py --size vit_b --repeats 5 --json out.json

Timed: from normalized pixels on the device to the image embedding, batch 1, 1024 x
1024. The first call, with compilation, is reported separately. `--memory` measures
instead the peak resident memory of loading weights and embedding one image, each
implementation in a process of its own.
"""

import argparse
from pathlib import Path

import numpy as np
import peers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="vit_b", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=peers.ROOT / "runs" / "random")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", help="implementations to run")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()

    path = peers.random_weights(options.size, options.weights)
    if options.memory:
        result = measure_memory(options)
    else:
        names = options.only or list(IMPLEMENTATIONS)
        pixels = np.random.default_rng(0).standard_normal((1, 1024, 1024, 3))
        pixels = pixels.astype(np.float32)
        calls = {
            name: IMPLEMENTATIONS[name](path, options.size, pixels) for name in names
        }
        figures = peers.time_in_turn(calls, options.repeats)
        result = peers.report(figures, names[0], size=options.size, batch=1)
    peers.write(result, options.json)


def measure_memory(options) -> dict:
    """Measures the peak memory of each implementation, smallest first."""
    peaks = {}
    for name in ("samjax float32", "reference"):
        arguments = ["--size", options.size, "--weights", str(options.weights)]
        arguments += ["--repeats", "1", "--only", name]
        peaks[name] = peers.peak_memory(__file__, arguments)
        print(f"{name:32s} {peaks[name]:9.0f} MiB")
    return {"size": options.size, "peak_mib": peaks}


def reference(path, size, pixels):
    import torch

    encoder = peers.reference_sam(path, size).image_encoder
    nchw = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())

    def call():
        with torch.inference_mode():
            return encoder(nchw)

    return call


def transformers_with(attention: str):
    def build(path, size, pixels):
        import torch
        from transformers import SamModel

        from samjax import checkpoints

        folder = path.with_suffix(".hf")
        if not folder.exists():
            checkpoints.convert(path, folder, format="huggingface")
        model = SamModel.from_pretrained(folder, attn_implementation=attention).eval()
        nchw = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())

        def call():
            with torch.inference_mode():
                return model.get_image_embeddings(nchw)

        return call

    return build


def samjax_in(dtype: str):
    def build(path, size, pixels):
        import jax

        import samjax

        model, params = samjax.load(path, dtype=dtype)
        params, pixels = jax.device_put((params, pixels))
        encode = jax.jit(
            lambda p, x: model.apply({"params": p}, x, method="encode_image")
        )
        return lambda: jax.block_until_ready(encode(params, pixels))

    return build


IMPLEMENTATIONS = {
    "reference": reference,
    "transformers sdpa": transformers_with("sdpa"),
    "transformers eager": transformers_with("eager"),
    "samjax float32": samjax_in("float32"),
    "samjax bfloat16": samjax_in("bfloat16"),
}

if __name__ == "__main__":
    main()
