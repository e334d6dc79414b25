"""The tokenizer of whole words."""

import pytest

from samjax.text import WordTokenizer

TOKENIZER = WordTokenizer(words=("a", "cup", "red", "of"), context_length=5)


@pytest.mark.parametrize(
    "text, ids",
    [
        ("a cup", [6, 1, 2, 7, 0]),
        ("  A\tRED\x00 Cup\n", [6, 1, 3, 2, 7]),
        ("cup", [6, 2, 7, 0, 0]),
    ],
)
def test_words_become_ids_between_start_and_end(text, ids):
    assert TOKENIZER(text).tolist() == [ids]


def test_unknown_words_share_an_id_and_are_named():
    with pytest.warns(UserWarning, match="not learned: giraffe, !"):
        assert TOKENIZER("cup giraffe !").tolist() == [[6, 2, 5, 5, 7]]


def test_long_texts_are_cut_with_what_is_kept():
    with pytest.warns(UserWarning, match="has 2000 words.*kept: 'cup cup cup'"):
        assert TOKENIZER("cup " * 2000).tolist() == [[6, 2, 2, 2, 7]]


@pytest.mark.parametrize("text", ["giraffe", "a", "of a", "", "Ελλάδα"])
def test_texts_without_a_known_word_are_refused_with_the_words(text):
    with pytest.raises(
        ValueError, match="knows no word; of its 4 words some are a, cup, red, of"
    ):
        TOKENIZER(text)


def test_texts_are_strings():
    with pytest.raises((TypeError, AttributeError)):
        TOKENIZER([3])
