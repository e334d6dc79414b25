"""Files of a vocabulary: read from a folder of weights, and packed into a string.

A model that reads texts is of no use without its vocabulary. CLIP's is in samjax; others
come as a file, which a config carries as a string, so that weights stay whole in one file.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import NamedTuple

FILES = ("spiece.model", "tokenizer.json", "tokenizer.model")
SMALLER_FIRST = ("spiece.model", "tokenizer.model", "tokenizer.json")
"""The order for a string: a JSON file is many times larger than a model."""

SPECIAL = ("eos_token", "pad_token")
MAX_PACKED = 3_900_000
"""Characters of a packed vocabulary, which has to fit into the header of a file."""
MAX_UNPACKED = 2**27


class VocabularyFile(NamedTuple):
    """A file of a vocabulary.

    Attributes:
        name: Where it comes from, for messages; a name that ends in `.json` is one of the
            package tokenizers, any other a SentencePiece model.
        content: Its bytes.
        special: The special tokens that `tokenizer_config.json` beside it names.
    """

    name: str
    content: bytes
    special: dict[str, str]


def read_vocabulary(path: Path, names: tuple[str, ...] = FILES) -> VocabularyFile:
    """Reads a vocabulary.

    Args:
        path: A folder, or one of its files.
        names: Names of files in a folder, of which the first that is there is read.

    Raises:
        FileNotFoundError: There is none of the files.
        OSError: It cannot be read.
    """
    file = path
    if path.is_dir():
        there = [path / name for name in names if (path / name).is_file()]
        file = there[0] if there else path
    if not file.is_file():
        raise FileNotFoundError(
            f"Got {path}, expected a folder with {', '.join(FILES)}, or one of them: "
            "they come with the weights of SigLIP for transformers."
        )
    return VocabularyFile(str(file), file.read_bytes(), _special_tokens(file.parent))


def pack_vocabulary(path: str | Path) -> str:
    """Reads a vocabulary into a string of letters, digits, `+`, `/` and `=`.

    Args:
        path: A folder of weights for transformers, or a file of its vocabulary.

    Raises:
        FileNotFoundError: It has none.
        OSError: It cannot be read.
        ValueError: It is too large for a config.
    """
    file = read_vocabulary(Path(path), SMALLER_FIRST)
    words = [Path(file.name).name, *(file.special.get(key, "") for key in SPECIAL)]
    head = "".join(f"{word}\n" for word in words)
    packed = zlib.compress(head.encode() + file.content, 9)
    text = base64.b64encode(packed).decode()
    if len(text) > MAX_PACKED:
        raise ValueError(
            f"{file.name} has {len(file.content)} bytes, too large for a config: have the "
            "SentencePiece model of the vocabulary beside it (spiece.model or "
            "tokenizer.model)"
        )
    return text


def unpack_vocabulary(text: str) -> VocabularyFile:
    """Reads a string of `pack_vocabulary`, trusting none of it.

    Raises:
        ValueError: It is none.
    """
    try:
        packed = base64.b64decode(text, validate=True)
        reader = zlib.decompressobj()
        data = reader.decompress(packed, MAX_UNPACKED)
        *words, content = data.split(b"\n", 1 + len(SPECIAL))
        name, *special = (word.decode() for word in words)
        if name not in FILES or len(special) < len(SPECIAL) or not reader.eof:
            raise ValueError("of another form")
    except (ValueError, zlib.error) as error:
        raise ValueError(
            "the model's vocabulary is damaged, expected a string of "
            f"samjax.text.pack_vocabulary ({error!s:.80})"
        ) from error
    named = {key: word for key, word in zip(SPECIAL, special, strict=True) if word}
    return VocabularyFile(name, content, named)


def _special_tokens(folder: Path) -> dict[str, str]:
    """Returns the special tokens that `tokenizer_config.json` names, if it is there."""
    try:
        content = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    named = {}
    for name in SPECIAL:
        token = content.get(name) if isinstance(content, dict) else None
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and "\n" not in token:
            named[name] = token
    return named
