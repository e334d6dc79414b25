"""Vocabularies in a string: whole, bounded, and refused when damaged."""

import base64
import zlib

import pytest
from text.small_vocabularies import fuzzed_texts, write_model, write_unigram_json

from samjax.text import SiglipTokenizer, make_tokenizer, pack_vocabulary, vocabularies
from samjax.text.vocabularies import VocabularyFile, unpack_vocabulary


@pytest.fixture(scope="module", params=["spiece.model", "tokenizer.json"])
def folder(request, tmp_path_factory):
    """A folder with a vocabulary of either kind."""
    pytest.importorskip("sentencepiece")
    pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("vocabulary")
    if request.param == "spiece.model":
        write_model(path / request.param)
        return path
    return write_unigram_json(path)


def test_a_packed_vocabulary_has_the_ids_of_its_folder(folder):
    packed = pack_vocabulary(folder)
    assert packed.isascii() and "\n" not in packed
    tokenizer = make_tokenizer(vocabulary=packed, context_length=20)
    expected = SiglipTokenizer.read(folder, context_length=20)
    texts = [text for text in fuzzed_texts(60) if len(text) < 15]
    assert len(texts) > 5
    assert (tokenizer(texts) == expected(texts)).all()
    assert make_tokenizer(vocabulary=packed, context_length=20) is tokenizer


def test_a_file_comes_back_with_the_names_of_its_special_tokens(tmp_path):
    content = bytes(range(256)) * 3 + b"\n\n"
    (tmp_path / "tokenizer.model").write_bytes(content)
    (tmp_path / "tokenizer.json").write_bytes(b"larger")
    names = '{"eos_token": {"content": "<eos>"}, "pad_token": 3}'
    (tmp_path / "tokenizer_config.json").write_text(names)
    file = unpack_vocabulary(pack_vocabulary(tmp_path))
    assert file == VocabularyFile("tokenizer.model", content, {"eos_token": "<eos>"})


def packed(data):
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "?",
        "abc",
        base64.b64encode(b"spiece.model").decode(),
        packed(b"spiece.model\n"),
        packed(b"../../etc/passwd\n\n\nx"),
        packed(b"\xff\n\n\nx"),
        packed(b"spiece.model\n\n\n" + bytes(1000))[:-8] + "AAAAAAA=",
    ],
)
def test_damaged_strings_are_refused_in_one_line(text):
    with pytest.raises(ValueError, match="the model's vocabulary is damaged") as caught:
        unpack_vocabulary(text)
    assert "\n" not in str(caught.value)


def test_strings_that_grow_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(vocabularies, "MAX_UNPACKED", 1000)
    with pytest.raises(ValueError, match="is damaged"):
        unpack_vocabulary(packed(b"spiece.model\n\n\n" + bytes(5000)))


def test_a_vocabulary_that_no_config_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(vocabularies, "MAX_PACKED", 20)
    (tmp_path / "tokenizer.json").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="has 256 bytes, too large for a config"):
        pack_vocabulary(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected a folder with spiece"):
        pack_vocabulary(tmp_path / "none")
