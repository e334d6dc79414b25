"""Token ids are those of OpenAI's tokenizer, for any text."""

import gzip
import hashlib
import importlib.util
import itertools
import json
import random
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.text import ClipTokenizer
from samjax.text.byte_pairs import MERGES, byte_characters, clip_vocabulary, merge
from samjax.text.tokenizer import clean, decode, encode

START, END = 49406, 49407
GOLDEN = json.loads((Path(__file__).parent / "golden_tokens.json").read_text())
HAS_FTFY = importlib.util.find_spec("ftfy") is not None
# Packages that carry OpenAI's vocabulary, under one name in their folders.
PACKAGES = ("clip", "open_clip")
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"


def packaged(name: str) -> Path:
    """A file of a package with the vocabulary, which is not imported."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    pytest.skip(f"none of {', '.join(PACKAGES)} is installed with its {name}")


@pytest.fixture(scope="module")
def reference():
    """OpenAI's tokenizer, from its file alone: the package needs torchvision."""
    path = packaged("simple_tokenizer.py")
    pytest.importorskip("ftfy")
    pytest.importorskip("regex")
    spec = importlib.util.spec_from_file_location("simple_tokenizer", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


@pytest.mark.parametrize(
    "text, ids", GOLDEN["text"], ids=[ascii(text) for text, _ in GOLDEN["text"]]
)
def test_ids_are_those_that_openai_s_tokenizer_gave(text, ids):
    assert encode(text) == ids


@pytest.mark.skipif(not HAS_FTFY, reason="ftfy repairs wrongly decoded text")
@pytest.mark.parametrize("text, ids", GOLDEN["wrongly decoded"])
def test_wrongly_decoded_text_is_repaired(text, ids):
    assert encode(text) == ids


def test_there_are_200_golden_pairs():
    assert sum(map(len, GOLDEN.values())) == 200


def test_the_merges_are_those_of_the_published_vocabulary():
    published = gzip.decompress(packaged(VOCABULARY).read_bytes())
    lines = published.decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    assert gzip.decompress(MERGES.read_bytes()).decode().splitlines() == lines


def test_the_merges_have_the_hash_of_the_published_ones():
    digest = hashlib.sha256(gzip.decompress(MERGES.read_bytes())).hexdigest()
    assert digest == "d308b7377a8ceaa9707a21614fe8c831b9196e197b7aeb69833359362907af02"


def test_the_vocabulary_has_49408_different_tokens():
    vocabulary = clip_vocabulary()
    assert len(vocabulary.tokens) == 49_408
    assert vocabulary.tokens[START:] == ("<|startoftext|>", "<|endoftext|>")
    assert all(vocabulary.tokens[i] == token for token, i in vocabulary.ids.items())
    assert len(set(byte_characters().values())) == 256


# Pieces on which implementations differ: contractions, HTML, scripts, emoji, controls,
# combining marks, wrongly decoded text.
PIECES = st.sampled_from(
    [text for pairs in GOLDEN.values() for text, _ in pairs]
    + ["'s", "'ſ", "\u0345", "&lt;", "&amp;amp;", "<b>", "\x1b[1m", "\ufeff", "Ã©"]
)
# Not the characters that Python's tables lack: newer tables have letters among them.
CHARACTERS = st.characters(exclude_categories=("Cn", "Cs"))
SEPARATORS = st.sampled_from(["", " ", " ", "'", "\n"])
TEXTS = st.one_of(
    st.text(CHARACTERS),
    st.text(st.characters(max_codepoint=0x24F)),
    st.builds(lambda s, pieces: s.join(pieces), SEPARATORS, st.lists(PIECES)),
    st.lists(st.one_of(PIECES, st.text(CHARACTERS, max_size=2))).map("".join),
)


def test_ids_equal_openai_s_on_fuzzed_texts(reference):
    @given(TEXTS)
    def check(text):
        assert encode(text) == reference.encode(text)

    check()


ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz     ''",
    "ABCabc0123456789 .,!?-_#@/\\$%&*()[]{}\"'<>|~^",
    "àâäçéèêëîïôöùûüßñøåæœſİıŉ ",
    "абвгдежзийклмноп αβγδεζηθςσΣ ",
    "日本語中文字汉字かなカナ한국어 ",
    "😀🚗☕\ufe0f👩\u200d👧🇫🇷✨ ",
    "ﬁﬂ\u201c\u201d\u2018\u2019\u2013\u2014\u2026ＡＢＣ１２３½Ⅷ² \xa0",
    "\x00\x07\x1b\x7f\x85\u200b\ufeff\t\r\n ",
    "e\u0301a\u0308n\u0303\u0345กขคع بيא ",
)


@pytest.mark.slow
def test_ids_equal_openai_s_on_40_000_strings(reference):
    """The same strings each time, of known pieces and random ones of many scripts."""
    pieces = [text for pairs in GOLDEN.values() for text, _ in pairs]
    pieces += ["it's", "we'll", "&lt;b&gt;", "&amp;amp;", "<|endoftext|>", "schÃ¶n"]
    generator = random.Random(0)
    strange = []
    for _ in range(40_000):
        parts = []
        for _ in range(generator.randint(1, 4)):
            if generator.random() < 0.25:
                parts.append(generator.choice(pieces))
            else:
                alphabet = generator.choice(ALPHABETS)
                letters = generator.choices(alphabet, k=generator.randint(1, 12))
                parts.append("".join(letters))
        text = generator.choice(["", " ", "\n", "'"]).join(parts)
        if encode(text) != reference.encode(text):
            strange.append(text)
    assert not strange, f"{len(strange)} differ, such as {strange[:3]!a:.300}"


def merge_slowly(piece: str) -> list[int]:
    """Merges all pairs of the lowest rank, again and again: the definition."""
    vocabulary = clip_vocabulary()
    word = [byte_characters()[byte] for byte in piece.encode()]
    word[-1] += "</w>"
    while ranked := [p for p in itertools.pairwise(word) if p in vocabulary.ranks]:
        pair = min(ranked, key=vocabulary.ranks.__getitem__)
        merged, i = [], 0
        while i < len(word):
            size = 2 if tuple(word[i : i + 2]) == pair else 1
            merged.append("".join(word[i : i + size]))
            i += size
        word = merged
    return [vocabulary.ids[token] for token in word]


@given(
    st.one_of(
        st.text("abenrst", min_size=1, max_size=60),
        st.lists(st.sampled_from(["a", "é", "ana", "ing"]), min_size=1).map("".join),
        st.text(CHARACTERS, min_size=1),
    )
)
def test_merging_is_that_of_the_definition(piece):
    assert list(merge(piece)) == merge_slowly(piece)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_decoding_gives_the_clean_text_without_its_spaces(text):
    kept = re.sub(r"\s|\u0345", "", clean(text))
    assert re.sub(r"\s|\u0345", "", decode(encode(text))) == kept


def test_rows_begin_and_end_and_are_filled_with_zeros():
    rows = ClipTokenizer()(["a wheel", ""])
    assert rows.shape == (2, 77) and rows.dtype == np.int32
    assert rows[0, :5].tolist() == [START, 320, 6744, END, 0]
    assert rows[1, :3].tolist() == [START, END, 0] and not rows[:, 5:].any()
    np.testing.assert_array_equal(ClipTokenizer()("a wheel"), rows[:1])


def test_a_text_that_is_too_long_is_cut_with_a_warning_that_shows_what_is_kept():
    text = " ".join(f"word{i}" for i in range(10))
    tokenizer = ClipTokenizer(context_length=8)
    with pytest.warns(
        UserWarning, match="20 tokens.* 6: .*kept: 'word 0 word 1 word 2"
    ):
        row = tokenizer([text])[0]
    assert row.tolist() == [START, *encode(text)[:6], END]


def test_a_text_that_just_fits_is_not_cut(recwarn):
    assert ClipTokenizer()("wheel " * 75)[0, -1] == END
    assert not recwarn


def test_long_words_take_little_time():
    # A quadratic merge would take minutes for it.
    assert len(encode("abenrst" * 10_000)) > 1000


def test_lengths_and_ids_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="context_length=1, expected at least 2"):
        ClipTokenizer(context_length=1)
    with pytest.raises(ValueError, match="token 49408, expected 0 to 49407"):
        decode([END + 1])


def test_golden_texts_have_no_characters_newer_than_the_oldest_python():
    characters = {c for pairs in GOLDEN.values() for text, _ in pairs for c in text}
    assert not {c for c in characters if unicodedata.category(c) == "Cn"}
