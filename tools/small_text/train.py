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
import jax.numpy as jnp
import numpy as np
import tyro
from alignment import align, initial_params, point_at, similarity_of
from decoding import decode
from embeddings import embed
from examples import read_examples
from flax.traverse_util import flatten_dict, unflatten_dict
from measurement import measure
from photos import list_photos, sample_photo
from phrases import vocabulary

import samjax
from samjax import checkpoints
from samjax.models import NOT_A_POINT, PromptInputs, Sam
from samjax.models.config import SamConfig
from samjax.models.params import (
    IMAGE_ENCODER,
    KERNEL,
    TEXT_ENCODER,
    TEXT_PROJECTION,
    TEXT_SIMILARITY,
    with_value,
)
from samjax.models.text_sam import TextSamConfig

ALIGNED = "aligned.npz"
"""File of the first stage; another run of it goes on from there."""
LOGIT = 6.0
"""Logit of a mask prompt that a text is surely true of."""
FIELDS = dataclasses.fields(SamConfig)


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

    hold_out: bool = True
    """Whether `decode` leaves out the images that are held out for `measure`."""

    seconds: float | None = None
    """Most seconds of `decode`."""

    out: Path = Path("small_text.safetensors")
    """The file of weights."""


def config_of(base: SamConfig, words: tuple[str, ...], width: int) -> TextSamConfig:
    """Returns a base model with a small text tower and the comparison."""
    fields = {f.name: getattr(base, f.name) for f in FIELDS}
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
    """Returns the parameters of the base model with the aligned parts.

    The decoder knows mask prompts: the map of a text starts as one.
    """
    generator = np.random.default_rng(0)
    shape = (config.text_embed_dim, config.prompt_embed_dim)
    # Small: a text starts as its map.
    projection = {
        KERNEL: generator.standard_normal(shape, np.float32) * 0.2,
        "bias": np.zeros(shape[1], np.float32),
    }
    cells = aligned["cells"]
    cells = {**cells, "map_output": as_mask_prompt(base, cells, config)}
    params = with_value(base, TEXT_PROJECTION, projection)
    params = with_value(params, TEXT_SIMILARITY, cells)
    return {**params, TEXT_ENCODER: aligned["text"]}


def as_mask_prompt(
    base: dict[str, Any], cells: dict[str, Any], config: TextSamConfig
) -> dict[str, Any]:
    """Returns the last layer of the map's network that gives a mask prompt's embedding.

    Probabilities between 0 and 1 are between the embeddings of masks of -LOGIT and LOGIT.
    """
    side = 4 * config.grid_size
    masks = np.stack([np.full((side, side), value) for value in (-LOGIT, LOGIT)])
    prompts = PromptInputs(
        np.zeros((1, 2, 1, 2), np.float32),
        np.full((1, 2, 1), NOT_A_POINT, np.int32),
        masks=masks[None].astype(np.float32),
    )
    sam = Sam(SamConfig(**{f.name: getattr(config, f.name) for f in FIELDS}))
    grid = (config.grid_size, config.grid_size)
    embedded: Any = sam.apply({"params": base}, prompts, grid, method="encode_prompts")
    middle = config.grid_size // 2
    low, high = np.asarray(embedded.dense)[0, :, middle, middle]
    without: Any = sam.apply(
        {"params": base}, prompts._replace(masks=None), grid, method="encode_prompts"
    )
    none = np.asarray(without.dense).reshape(-1)
    logits, best = np.meshgrid(np.linspace(-9, 6, 61), np.linspace(-1, 6, 15))
    kept = logits <= best
    hidden = similarity_of(config).apply(
        {"params": cells},
        jnp.asarray(logits[kept], jnp.float32),
        jnp.asarray(best[kept], jnp.float32),
        method="describe",
    )
    share = 1 / (1 + np.exp(-logits[kept]))[:, None]
    wanted = share * high + (1 - share) * low - none
    inputs = np.concatenate([np.asarray(hidden), np.ones((len(share), 1))], 1)
    ridge = 1e-3 * np.eye(inputs.shape[1])
    solution = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted)
    return {
        KERNEL: solution[:-1].astype(np.float32),
        "bias": solution[-1].astype(np.float32),
    }


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
    if (options.folder / ALIGNED).is_file():
        config, params = read_aligned(options.folder, base.model.config)
    ours = [example for example in examples if not example.is_held_out]
    held_out = [example for example in examples if example.is_held_out]
    print(f"{len(ours)} images of {len(examples)}, {len(words)} words", flush=True)
    params = align(config, params, ours, options.steps)
    for name, part in (("held out", held_out), ("trained on", ours[:120])):
        found = point_at(config, params, part)
        print(f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()))
    arrays: dict[str, Any] = dict(
        flatten_dict(jax.tree.map(np.asarray, params), sep="/")
    )
    np.savez(options.folder / ALIGNED, words=np.array(words), **arrays)


def read_aligned(folder: Path, base: SamConfig) -> tuple[TextSamConfig, dict[str, Any]]:
    """Reads what the first stage has written."""
    with np.load(folder / ALIGNED) as file:
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
    ours = [e for e in examples if not (e.is_held_out and options.hold_out)]
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
