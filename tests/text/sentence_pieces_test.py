"""SigLIP's tokenizers have the ids of transformers', and are read from its folders."""

import json
import warnings

import numpy as np
import pytest
from text.small_vocabularies import (
    fuzzed_texts,
    write_gemma_model,
    write_model,
    write_unigram_json,
)

from samjax.text import SiglipTokenizer
from samjax.text.sentence_pieces import without_punctuation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("tokenizers")
    return write_unigram_json(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    return SiglipTokenizer.read(folder, context_length=16)


def test_rows_are_the_pieces_the_end_and_padding(tokenizer):
    rows = tokenizer(["left mug", "Red  CUP!", ""])
    assert rows.shape == (3, 16) and rows.dtype == np.int32
    assert tokenizer.end == tokenizer.padding == 1
    for row, text in zip(rows, ["left mug", "red cup", ""], strict=True):
        pieces = tokenizer.encode(text)
        assert row.tolist() == pieces + [1] * (16 - len(pieces))
        assert tokenizer.pieces.decode(pieces) == text
    np.testing.assert_array_equal(tokenizer("left mug"), rows[:1])


def test_a_long_text_is_cut_before_its_end_with_a_warning(tokenizer):
    text = "left mug " * 20
    with pytest.warns(UserWarning, match=r"reads 15: .* What is kept: 'left mug"):
        row = tokenizer(text)[0]
    assert row[-1] == 1 and row[:15].tolist() == tokenizer.encode(text)[:15]
    # One that just fits is not.
    fits = tokenizer.pieces.decode(tokenizer.encode(text)[:15])
    assert tokenizer(fits)[0].tolist() == row.tolist()


def test_any_string_is_encoded_and_nothing_else(tokenizer):
    for text in [*fuzzed_texts(50), "\ud800", "\x00", "</s>"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert tokenizer(text)[0].max() < tokenizer.size
    # Written out, the end token is text.
    assert tokenizer.encode("</s>") == tokenizer.encode("s")


def test_punctuation_and_capitals_are_left_out():
    assert without_punctuation(" It's\n a  (RED) mug… ") == "its a red mug…"


@pytest.mark.parametrize(
    ("name", "content", "error", "problem"),
    [
        ("tokenizer.json", "{}", ValueError, "is no file of the package tokenizers"),
        ("tokenizer.json", "[" * 9, ValueError, "fetch it again"),
        ("vocab.txt", "a", FileNotFoundError, "expected a folder with spiece.model"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, name, content, error, problem):
    pytest.importorskip("tokenizers")
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=problem):
        SiglipTokenizer.read(tmp_path)


def test_a_vocabulary_without_an_end_is_refused(folder, tmp_path):
    content = (folder / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(content)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>"}))
    with pytest.raises(ValueError, match="has no token '<end>'"):
        SiglipTokenizer.read(tmp_path)
    with pytest.raises(ValueError, match="context_length=1, expected at least 2"):
        SiglipTokenizer.read(folder, context_length=1)


@pytest.mark.parametrize(
    ("name", "package"),
    [("spiece.model", "sentencepiece"), ("tokenizer.json", "tokenizers")],
)
def test_a_missing_package_is_named_with_the_extra(
    tmp_path, monkeypatch, name, package
):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}.*'samjax\[siglip\]'"):
        SiglipTokenizer.read(tmp_path / name)


@pytest.mark.parity
def test_ids_of_siglip_are_those_of_transformers(tmp_path):
    pytest.importorskip("sentencepiece")
    library = pytest.importorskip("transformers")
    write_model(tmp_path / "spiece.model")
    reference = library.SiglipTokenizer(str(tmp_path / "spiece.model"))
    tokenizer = SiglipTokenizer.read(tmp_path)
    texts = [*fuzzed_texts(400), "", "▁", "left " * 80]
    expected = reference(texts, padding="max_length", max_length=64, truncation=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tokenizer(texts).tolist() == expected["input_ids"]


@pytest.mark.parity
def test_ids_of_siglip_2_are_those_of_transformers(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    pytest.importorskip("transformers")
    from transformers.convert_slow_tokenizer import generate_merges
    from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

    (tmp_path / "a").mkdir()
    own = SiglipTokenizer.read(write_gemma_model(tmp_path / "a" / "tokenizer.model"))
    model = sentencepiece.SentencePieceProcessor(str(tmp_path / "a/tokenizer.model"))
    numbers = range(model.GetPieceSize())
    vocabulary = {model.IdToPiece(i): i for i in numbers}
    scores = {model.IdToPiece(i): model.GetScore(i) for i in numbers}
    reference = Siglip2Tokenizer(vocabulary, generate_merges(vocabulary, scores))
    reference.save_pretrained(tmp_path / "b")
    converted = SiglipTokenizer.read(tmp_path / "b")
    assert (own.end, own.padding) == (converted.end, converted.padding) == (1, 0)
    texts = fuzzed_texts(400)
    for text in texts:
        expected = reference(text, add_special_tokens=False)["input_ids"]
        assert own.encode(text) == converted.encode(text) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = own(texts[:1])[0]
    assert row[: len(own.encode(texts[0])) + 1][-1] == 1 and row[-1] in (0, 1)


def test_what_is_no_sentencepiece_model_is_refused(tmp_path):
    pytest.importorskip("sentencepiece")
    (tmp_path / "spiece.model").write_bytes(b"\x0a\xff\xff\xff\xff\x0fnot a model")
    with pytest.raises(ValueError, match="is no SentencePiece model"):
        SiglipTokenizer.read(tmp_path)
