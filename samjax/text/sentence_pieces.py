"""The tokenizers of SigLIP and SigLIP 2: texts to rows of token ids.

Their vocabularies come with the weights, in a folder of transformers: `spiece.model`, a
SentencePiece model that the package sentencepiece reads, or `tokenizer.json`, which the
package tokenizers reads. Both are in the extra `siglip`.

SigLIP's texts are in lower case and without punctuation, those of SigLIP 2 in lower case
(Zhai et al., arXiv 2303.15343; Tschannen et al., arXiv 2502.14786).
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from samjax.text.rows import token_rows
from samjax.text.vocabularies import VocabularyFile, read_vocabulary


class Pieces(NamedTuple):
    """A vocabulary as its package reads it.

    Attributes:
        encode: Returns the ids of a text, without an end.
        decode: Returns the text of ids.
        find: Returns the id of a token; None if there is none.
        size: Tokens of the vocabulary.
        is_unigram: Whether it is a unigram model, as SigLIP's; SigLIP 2 has byte pairs.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    find: Callable[[str], int | None]
    size: int
    is_unigram: bool


@dataclass(frozen=True, kw_only=True)
class SiglipTokenizer:
    """The tokenizer of SigLIP or SigLIP 2, with the vocabulary of a folder.

        tokenizer = SiglipTokenizer.read("siglip-base-patch16-224")
        tokens = tokenizer(["a wheel", "the left mug"])

    A special token that is written out in a text of SigLIP ("</s>") is text.

    Attributes:
        pieces: The vocabulary.
        end: Id at the end of a text, which stays if the text is cut.
        padding: Id behind the end.
        context_length: Ids in a row, that of the end included: 64 for the published models.
    """

    pieces: Pieces
    end: int
    padding: int
    context_length: int = 64

    def __post_init__(self):
        if self.context_length < 2:
            raise ValueError(
                f"Got context_length={self.context_length}, expected at least 2: a row "
                "has an id for the end."
            )

    @classmethod
    def read(cls, path: str | Path, *, context_length: int = 64) -> SiglipTokenizer:
        """Reads the vocabulary that comes with weights.

        Args:
            path: A folder of transformers, or a file of such a folder: `spiece.model`,
                `tokenizer.model` or `tokenizer.json`. Of a folder that has several the
                first is read.
            context_length: Ids in a row, `model.config.context_length`.

        Raises:
            FileNotFoundError: There is none of the files.
            ImportError: The package that reads the file is not installed.
            ValueError: The file is no vocabulary of SigLIP.
        """
        file = read_vocabulary(Path(path))
        return cls.from_file(file, context_length=context_length)

    @classmethod
    def from_file(
        cls, file: VocabularyFile, *, context_length: int = 64
    ) -> SiglipTokenizer:
        """Reads a vocabulary that is in memory.

        Args:
            file: The file.
            context_length: Ids in a row, `model.config.context_length`.

        Raises:
            ImportError: The package that reads the file is not installed.
            ValueError: The file is no vocabulary of SigLIP.
        """
        is_json = file.name.endswith(".json")
        pieces = _read_json(file) if is_json else _read_model(file)
        end = file.special.get("eos_token", "</s>" if pieces.is_unigram else "<eos>")
        padding = file.special.get("pad_token", end if pieces.is_unigram else "<pad>")
        ids = {token: pieces.find(token) for token in (end, padding)}
        if missing := [token for token, number in ids.items() if number is None]:
            raise ValueError(
                f"{file.name} has no token {missing[0]!r}, expected the vocabulary of a "
                "SigLIP: name the folder of its weights"
            )
        return cls(
            pieces=pieces,
            end=ids[end] or 0,
            padding=ids[padding] or 0,
            context_length=context_length,
        )

    def __call__(self, texts: str | Sequence[str]) -> Int[np.ndarray, "n t"]:
        """Encodes texts, each with its end token.

        Args:
            texts: One text, or several.

        Returns:
            Ids in int32, a row per text, padded behind the end token. A text that is too
            long is cut, with a warning that shows what is kept.

        Raises:
            TypeError: A text is no string.
        """
        return token_rows(
            texts,
            self.encode,
            self.pieces.decode,
            start=(),
            end=self.end,
            padding=self.padding,
            context_length=self.context_length,
        )

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text of any length, without the end.

        Raises:
            TypeError: It is no string.
        """
        if not isinstance(text, str):
            raise TypeError(f"Got {text!r:.80}, expected a text as a str.")
        # Half a pair of UTF-16 has no bytes in UTF-8.
        text = text.encode("utf-8", "replace").decode()
        if self.pieces.is_unigram:
            return self.pieces.encode(without_punctuation(text))
        # Letter by letter, as the release does: in a whole word Python has a sigma of
        # its own for the end.
        return self.pieces.encode("".join(letter.lower() for letter in text))

    @property
    def size(self) -> int:
        """Tokens of the vocabulary, at most `vocab_size` of the model."""
        return self.pieces.size


def without_punctuation(text: str) -> str:
    """Returns a text in lower case, without ASCII's punctuation and in one line."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", text).strip()


def _read_model(file: VocabularyFile) -> Pieces:
    """Reads a SentencePiece model."""
    try:
        import sentencepiece  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise _missing("sentencepiece", file.name) from error
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(file.content)
        size = processor.GetPieceSize()
    except Exception as error:
        raise ValueError(
            f"{file.name} is no SentencePiece model, expected that of a SigLIP: fetch it again"
        ) from error
    unknown = processor.unk_id()

    def find(token: str) -> int | None:
        number = processor.PieceToId(token)
        return None if number == unknown else number

    # The models of the Gemma kind, byte pairs, have their first pieces in this order.
    is_unigram = find("<eos>") is None
    return Pieces(processor.EncodeAsIds, processor.DecodeIds, find, size, is_unigram)


def _read_json(file: VocabularyFile) -> Pieces:
    """Reads a `tokenizer.json`."""
    try:
        import tokenizers  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise _missing("tokenizers", file.name) from error
    try:
        text = file.content.decode("utf-8")
        kind = json.loads(text)["model"]["type"]
        tokenizer: Any = tokenizers.Tokenizer.from_str(text)
    except Exception as error:
        raise ValueError(
            f"{file.name} is no file of the package tokenizers, expected the vocabulary of a "
            f"SigLIP: fetch it again ({' '.join(str(error).split()):.120})"
        ) from error
    # The file may say to pad and to cut, which is done here.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return Pieces(
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        tokenizer.decode,
        tokenizer.token_to_id,
        tokenizer.get_vocab_size(with_added_tokens=False),
        kind == "Unigram",
    )


def _missing(package: str, file: str) -> ImportError:
    return ImportError(
        f"{file} is read by the package {package}, which is not installed: "
        "pip install 'samjax[siglip]'"
    )
