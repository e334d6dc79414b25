"""Trains the bundled `small_text`: text prompts over the image encoder of `small`, on a CPU.

    python tools/small_text/words.py --model MINILM --captions JSON --data DATA --out words.npz
    python tools/small_text/train.py embed FOLDER --data DATA --captions JSON
    python tools/small_text/train.py align FOLDER --data DATA --captions JSON --words words.npz
    python tools/small_text/train.py decode FOLDER --data DATA --captions JSON
    python tools/small_text/train.py measure FOLDER --data DATA --captions JSON

DATA has photo sets in COCO's form (`photos.SETS`), JSON is COCO's `captions_val2017.json`.
Without `--data` everything is trained on drawn scenes alone. `embed` keeps the embeddings
in FOLDER, `align` and `decode` their parameters there, and `decode` writes `--out`. All
commands go on where they were interrupted; `embed` ends when there is a file FOLDER/STOP.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from alignment import align, initial_params, point_at
from decoding import decode
from embeddings import embed
from examples import read_examples
from flax.traverse_util import flatten_dict, unflatten_dict
from measurement import measure
from photos import list_photos, sample_photo
from phrases import vocabulary

import samjax
from samjax import checkpoints
from samjax.models.config import SamConfig
from samjax.models.params import IMAGE_ENCODER
from samjax.models.text_sam import TextSamConfig


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of all commands."""

    command: tyro.conf.Positional[Literal["embed", "align", "decode", "measure"]]
    """What to do."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Folder of embeddings and states."""

    base: str = "small"
    """Weights whose image encoder is used: a name or a path."""

    data: Path | None = None
    """Folder of photo sets."""

    captions: Path | None = None
    """COCO's captions of the photos of val2017."""

    words: Path | None = None
    """Vectors of words (`words.py`); without it random ones for the words of scenes."""

    look_at: tuple[Path, ...] = ()
    """Photos to embed that are not trained on."""

    scenes: int = 240
    """Drawn scenes to train on; a sixth as many are held out."""

    steps: int = 2000
    """Steps of `align` or `decode`."""

    seconds: float | None = None
    """Most seconds of `decode`."""

    out: Path = Path("small_text.safetensors")
    """The file of weights."""


def config_of(base: SamConfig, words: tuple[str, ...], width: int) -> TextSamConfig:
    """Returns a base model with a small text tower and the comparison."""
    fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(SamConfig)}
    return TextSamConfig(
        **fields,
        text_embed_dim=128,
        text_width=width,
        text_depth=2,
        text_heads=4,
        text_mlp_dim=2 * width,
        vocab_size=len(words) + 4,
        context_length=16,
        words=words,
        text_similarity_width=192,
    )


def with_base(
    base: dict[str, Any], aligned: dict[str, Any], config: TextSamConfig
) -> dict[str, Any]:
    """Returns the parameters of the base model with the aligned parts."""
    generator = np.random.default_rng(0)
    shape = (config.text_embed_dim, config.prompt_embed_dim)
    # Vectors have length 1: the token starts at the scale of learned prompt embeddings.
    projection = {
        "kernel": generator.standard_normal(shape, np.float32) * 0.5,
        "bias": np.zeros(shape[1], np.float32),
    }
    prompts = {
        **base["prompt_encoder"],
        "text_projection": projection,
        "text_similarity": aligned["cells"],
    }
    return {**base, "prompt_encoder": prompts, "text_encoder": aligned["text"]}


def run_align(options: Options, base: samjax.Predictor, examples: list) -> None:
    """Trains the first stage and prints how well names are found."""
    if options.words is None:
        words = vocabulary((), ())
        vectors = np.random.default_rng(0).standard_normal((len(words), 128))
    else:
        with np.load(options.words) as file:
            words, vectors = tuple(map(str, file["words"])), file["vectors"]
    config = config_of(base.model.config, words, vectors.shape[1])
    params = initial_params(config, vectors.astype(np.float32))
    ours = [example for example in examples if not example.is_held_out]
    held_out = [example for example in examples if example.is_held_out]
    print(f"{len(ours)} images of {len(examples)}, {len(words)} words", flush=True)
    params = align(config, params, ours, options.steps)
    for name, part in (("held out", held_out), ("trained on", ours[:120])):
        found = point_at(config, params, part)
        print(f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()))
    arrays = flatten_dict(jax.tree.map(np.asarray, params), sep="/")
    np.savez(options.folder / "aligned.npz", words=np.array(words), **arrays)


def read_aligned(folder: Path, base: SamConfig) -> tuple[TextSamConfig, dict[str, Any]]:
    """Reads what the first stage has written."""
    with np.load(folder / "aligned.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "words"}
        words = tuple(map(str, file["words"]))
    params = unflatten_dict(arrays, sep="/")
    width = params["text"]["token_embedding"]["embedding"].shape[1]
    return config_of(base, words, width), params


def run_decode(options: Options, base: samjax.Predictor, examples: list) -> None:
    """Trains the second stage and writes the weights."""
    config, aligned = read_aligned(options.folder, base.model.config)
    whole = with_base(dict(base.params), aligned, config)
    encoder = whole.pop(IMAGE_ENCODER)
    ours = [example for example in examples if not example.is_held_out]
    trained = decode(
        config,
        whole,
        ours,
        options.steps,
        options.folder / "decoding.npz",
        until=options.seconds,
    )
    params = {**trained, IMAGE_ENCODER: encoder}
    checkpoints.save(
        options.out,
        config,
        params,
        dtype=np.float16,
        encoder_of=None if Path(options.base).exists() else options.base,
        overwrite=True,
    )
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB", flush=True)


def main(options: Options) -> None:
    """Does one of the commands."""
    base = samjax.Predictor(*samjax.load(options.base))
    photos = [] if options.data is None else list_photos(options.data, options.captions)
    if options.command == "embed":
        others = [sample_photo(path) for path in options.look_at]
        embed(options.folder, base, [*others, *photos], options.scenes)
        return
    examples = read_examples(options.folder, photos)
    if options.command == "align":
        run_align(options, base, examples)
    elif options.command == "decode":
        run_decode(options, base, examples)
    else:
        model, params = samjax.load(options.out)
        held_out = [example for example in examples if example.is_held_out]
        print(measure(samjax.Predictor(model, params), held_out))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
