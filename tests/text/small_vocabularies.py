"""Small vocabularies of SigLIP's kinds, trained in a fraction of a second."""

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "la",
    "me",
    "ni",
    "po",
    "ru",
    "sta",
    "che",
    "wi",
    "ton",
    "mug",
    "cup",
    "left",
    "red",
]


def lines() -> Iterator[str]:
    """Lines of made-up words, always the same."""
    generator = np.random.default_rng(0)
    words = ["".join(pair) for pair in itertools.product(SYLLABLES, SYLLABLES)]
    for _ in range(600):
        yield " ".join(generator.choice(words, generator.integers(2, 9)))


def write_model(path: Path, **options) -> Path:
    """Trains a SentencePiece model, with the ids of SigLIP's."""
    import sentencepiece  # pyright: ignore[reportMissingImports]

    kept = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines(),
        model_writer=kept,
        minloglevel=2,
        num_threads=1,
        hard_vocab_limit=False,
        **{
            "vocab_size": 180,
            "model_type": "unigram",
            "pad_id": 0,
            "eos_id": 1,
            "unk_id": 2,
            "bos_id": -1,
        }
        | options,
    )
    path.write_bytes(kept.getvalue())
    return path


def write_gemma_model(path: Path) -> Path:
    """Trains a SentencePiece model like Gemma's, which SigLIP 2 has."""
    return write_model(
        path,
        vocab_size=420,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
    )


def write_unigram_json(folder: Path) -> Path:
    """Writes a `tokenizer.json` of SigLIP's kind, and the tokens' names beside it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=180,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(lines()), trainer)
    # As published files may say; rows are padded and cut by samjax.
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"eos_token": {"content": "</s>"}, "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder


def fuzzed_texts(count: int, seed: int = 0) -> list[str]:
    """Strings of letters, words, punctuation, spaces of all kinds and other scripts."""
    generator = np.random.default_rng(seed)
    alphabet = [
        *"abcdefghij klmno  .,!?'\"-—…éßΣÄİ中文😀\t\n<>/▁\u00a0\u3000ﬁＡ",
        "the ",
        "left ",
        "mug ",
        "Cup",
    ]
    return [
        "".join(generator.choice(alphabet, generator.integers(0, 60)))
        for _ in range(count)
    ]
