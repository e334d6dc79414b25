"""Invalid scene configs are refused with all problems."""

import pytest

from samjax.data.synthetic import SceneConfig


def test_the_default_is_sound():
    assert SceneConfig().size == 256


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 100),
        ("size", 8),
        ("num_objects", 0),
        ("min_objects", 17),
        ("min_objects", -1),
        ("max_parts", 4),
        ("num_masks", 0),
        ("num_masks", 257),
        ("min_scale", 0.0),
        ("max_scale", 0.01),
        ("min_area", -0.1),
        ("max_area", 1.5),
        ("camouflage", 1.5),
        ("repetition", -0.5),
    ],
)
def test_a_wrong_value_is_named(field, value):
    with pytest.raises(ValueError, match=f"{field}={value}"):
        SceneConfig(**{field: value})


def test_all_invalid_values_are_listed_at_once():
    with pytest.raises(ValueError, match=r"size=7.*num_masks=0.*camouflage=2"):
        SceneConfig(size=7, num_masks=0, camouflage=2.0)


def test_equal_configs_share_a_compilation():
    assert hash(SceneConfig(size=64)) == hash(SceneConfig(size=64))
    assert SceneConfig(size=64) != SceneConfig(size=72)
