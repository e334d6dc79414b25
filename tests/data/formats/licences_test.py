"""Licences are matched by id, name or URL."""

import pytest

from samjax.data.formats.licences import is_excluded, licence_names

FILE = {
    "licenses": [
        {
            "id": 4,
            "name": "Attribution License",
            "url": "http://cc.org/licenses/by/2.0/",
        },
        {
            "id": 5,
            "name": "Attribution-ShareAlike License",
            "url": "http://cc.org/licenses/by-sa/2.0/",
        },
    ]
}


def test_the_names_of_a_licence_are_those_of_the_image_and_of_the_list():
    assert licence_names(FILE, {"license": 4}) == {
        "4",
        "Attribution License",
        "http://cc.org/licenses/by/2.0/",
    }
    assert licence_names({}, {"licence": "CC-BY-SA-4.0"}) == {"CC-BY-SA-4.0"}
    assert licence_names(FILE, {}) == set()
    assert licence_names({"licenses": "damaged"}, {"license": 4}) == {"4"}


@pytest.mark.parametrize(
    ("entry", "excluded", "expected"),
    [
        ({"license": 5}, ("5",), True),
        ({"license": 4}, ("5",), False),
        ({"license": 5}, ("ShareAlike",), True),
        ({"license": 5}, ("by-sa",), True),
        ({"license": 4}, ("by-sa", "5"), False),
        ({"licence": "CC-BY-SA-4.0"}, ("CC BY-SA",), True),
        ({"licence": "CC-BY-4.0"}, ("CC BY-SA",), False),
        ({"licence": "CC BY 2.5"}, ("5",), False),
        ({"licence": "CC-BY-SA-4.0"}, ("by",), True),
        ({"licence": "MIT"}, ("",), False),
        ({}, ("5", "CC BY-SA"), False),
    ],
)
def test_ids_match_exactly_and_words_match_all_names_with_them(
    entry, excluded, expected
):
    assert is_excluded(licence_names(FILE, entry), excluded) == expected
