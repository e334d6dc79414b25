"""Writes goldens.json, the expected outputs of the page's arithmetic.

Computed by Pillow and samjax: python tests/web/page/make_goldens.py
"""

import hashlib
import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from samjax.geometry.frame import Frame
from samjax.geometry.masks import encode_rle
from samjax.geometry.resampling import mask_to_prompt, upscale_logits
from samjax.inference import Prompt
from samjax.text import WordTokenizer
from samjax.web.exporting import AnnotatedImage, to_record

RESIZED = [  # (h, w) of the image and of the target.
    ((7, 5), (3, 4)),
    ((5, 7), (11, 16)),
    ((40, 64), (40, 17)),
    ((333, 500), (341, 512)),
    ((683, 1024), (341, 512)),
    ((1200, 901), (512, 384)),
    ((1, 300), (2, 512)),
    ((1301, 600), (512, 236)),
    ((100, 100), (50, 76)),
    ((100, 100), (50, 75)),
    ((100, 100), (101, 150)),
]
WORDS = ("a", "the", "red", "cup", "spoon", "handle", "'s", "café", "4")
FRAMES = [  # (h, w), the model's size.
    ((30, 47), 64),
    ((100, 61), 64),
    ((333, 500), 256),
    ((1, 90), 64),
]


def bytes_like(count: int) -> np.ndarray:
    """Noise that a line of JavaScript makes too."""
    numbers = np.arange(count, dtype=np.uint64)
    return (((numbers * 1103515245 + 12345) % 2**32) >> 16).astype(np.uint8)


def main() -> None:
    goldens = {
        "resize": [resize(*sizes) for sizes in RESIZED],
        "upsample": [upsample(*sizes) for sizes in FRAMES],
        "masks": [mask(size) for size in [(1, 1), (3, 4), (20, 31), (64, 9)]],
        "ambiguous": [*ambiguous()],
        "record": record((20, 31)),
        "words": [*words()],
    }
    path = Path(__file__).with_name("goldens.json")
    path.write_text(json.dumps(goldens, separators=(",", ":")) + "\n")


def words() -> Iterator[dict]:
    """Texts with the ids of the tokenizer of whole words."""
    tokenizer = WordTokenizer(words=WORDS, context_length=9)
    for text in (
        "a red cup",
        "  The RED\ncup's handle ",
        "the cup’s red handle",
        "a ｃｕｐ and a spoon!!",
        "cup 42 x",
        "café cup naïve",
        "red red red red red red red red red cup",
        "a café",
        "a caf&eacute; &amp; cup&#39;s",
        "red&nbsp;cup&amp;#x20;spoon",
        "red&#xd800;cup &#0; &zzz; cup",
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield {"text": text, "ids": tokenizer(text)[0].tolist()}


def resize(size: tuple[int, int], target: tuple[int, int]) -> dict:
    pixels = bytes_like(size[0] * size[1] * 3).reshape(*size, 3)
    resized = np.asarray(
        Image.fromarray(pixels).resize(target[::-1], Image.Resampling.BILINEAR)
    )
    digest = hashlib.sha256(resized.tobytes()).hexdigest()
    first = resized.ravel()[:24].tolist()
    return {"size": size, "target": target, "sha256": digest, "first": first}


def upsample(size: tuple[int, int], model_size: int) -> dict:
    frame, side = Frame.fit(size, model_size), model_size // 4
    logits = bytes_like(side * side).reshape(1, side, side).astype(np.float32) / 8 - 16
    upscaled = upscale_logits(logits, frame)[0]
    every = max(1, upscaled.size // 400)
    prompt = mask_to_prompt(upscaled > 0, frame, side)
    return {
        "size": size,
        "model_size": model_size,
        "resized_size": frame.resized_size,
        "every": every,
        "logits": [round(float(v), 5) for v in upscaled.ravel()[::every]],
        "area": int((upscaled > 0).sum()),
        "undecided": int((np.abs(upscaled) < 1e-4).sum()),
        "segmentation": encode_rle(upscaled > 0),
        "prompt": [round(float(v), 4) for v in prompt.ravel()[::7]],
    }


def mask(size: tuple[int, int]) -> dict:
    bits = bytes_like(size[0] * size[1]).reshape(size) > 128
    return {"size": size, "segmentation": encode_rle(bits), "area": int(bits.sum())}


def ambiguous() -> Iterator[dict]:
    """Every combination of 0 to 2 points with the other kinds of prompts."""
    values = {
        "box": [0, 0, 1, 1],
        "mask": np.zeros((256, 256), np.float32),
        "text": "a dog",
    }
    for points in range(3):
        for given in itertools.product([False, True], repeat=len(values)):
            fields = [
                name for name, is_given in zip(values, given, strict=True) if is_given
            ]
            prompt = Prompt(
                points=[[i, i] for i in range(points)],
                labels=[1] * points,
                **{name: values[name] for name in fields},
            )
            yield {
                "points": points,
                "fields": fields,
                "is_ambiguous": prompt.is_ambiguous,
            }


def record(size: tuple[int, int]) -> dict:
    """Masks in the page's form, and the record that the server exports of them."""
    # Noise, a mask of one pixel, an empty one.
    noise = bytes_like(size[0] * size[1]).reshape(size) > 128
    one_pixel = np.zeros(size, bool)
    one_pixel[7, 30] = True
    both = {"points": [[3.5, 4.25], [9.0, 2.0]], "labels": [1, 0]}
    none = {"points": [], "labels": []}
    stored = [
        {
            "id": index + 1,
            "uuid": f"mask-{index}",
            "segmentation": encode_rle(bits),
            "label": "" if index else "cup",
            "prompts": {**prompts, "box": None, "mask": False, "text": None},
            "score": score,
            "stability_score": stability,
            "source": source,
            "edited": bool(index),
            "level": None if index else "part",
            "seconds": 1.5 * index,
            "author": "ada",
        }
        for index, (bits, prompts, score, stability, source) in enumerate(
            [
                (noise, both, 0.75, 0.5, "click"),
                (one_pixel, none, None, None, "brush"),
                (np.zeros(size, bool), none, 0.0, 0.0, "everything"),
            ]
        )
    ]
    image = AnnotatedImage(image_id=1, name="photo.jpg", size=size, annotations=stored)
    return {"annotations": stored, "record": to_record(image, print)}


if __name__ == "__main__":
    main()
