"""Colour jitter: strength, bounds, determinism and padding."""

import numpy as np

from samjax.data.colour import jitter_colours
from samjax.data.datasets import DatasetSource
from samjax.data.examples import RawExample
from samjax.data.prepare import PrepareConfig


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 180, (20, 30, 3)).astype(np.uint8)


def test_without_strength_an_image_is_unchanged():
    pixels = noise()
    same = jitter_colours(pixels, 0.0, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(same, pixels)


def test_a_greyscale_image_has_no_colour_and_the_lightness_of_before():
    pixels = noise()
    grey = jitter_colours(pixels, 0.0, 1.0, np.random.default_rng(0)).astype(int)
    assert (grey.max(axis=-1) == grey.min(axis=-1)).all()
    expected = pixels @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[..., 0], expected, atol=1)


def test_brightness_contrast_and_saturation_change_within_their_bounds():
    pixels = noise()
    rng = np.random.default_rng(0)
    made = [jitter_colours(pixels, 0.3, 0.0, rng).astype(float) for _ in range(200)]

    def ratios(measure):
        return np.array([measure(image) / measure(pixels) for image in made])

    for measure in (np.mean, lambda image: image.mean(axis=-1).std()):
        found = ratios(measure)
        assert found.min() < 0.9 and found.max() > 1.1
    mean = ratios(np.mean)
    assert 0.68 < mean.min() and mean.max() < 1.32


def test_the_same_generator_gives_the_same_colours_and_the_padding_stays_black():
    class Image:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int, /) -> RawExample:
            import simplejpeg

            record = {"image": {"height": 20, "width": 30}, "annotations": []}
            return RawExample("a", simplejpeg.encode_jpeg(noise()), record)

    config = PrepareConfig(image_size=32, masks_per_image=1, colour_jitter=0.5)
    sources = [DatasetSource(Image(), config, batch_size=3, seed=0) for _ in range(2)]
    one, other = (source.batch(4).images for source in sources)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
    assert not one[:, 21:].any() and one[:, :21].all(axis=-1).any()
    for source in sources:
        source.close()
