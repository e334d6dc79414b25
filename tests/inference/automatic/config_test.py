"""Which thresholds everything mode has for which model."""

import dataclasses

import pytest

from samjax.inference.automatic.config import (
    PRESETS,
    SMALL_MODEL_THRESHOLDS,
    AutomaticConfig,
)
from samjax.models import SIZES


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("preset", PRESETS)
def test_released_sizes_keep_the_release_s_thresholds_and_others_get_lower(
    name, preset
):
    given = PRESETS[preset]
    found = given.for_model(SIZES[name])
    if name.startswith("vit_"):
        assert found == given
    else:
        assert 0 < found.pred_iou_thresh < AutomaticConfig().pred_iou_thresh
        assert 0 < found.stability_score_thresh < 0.95
    # Nothing but the thresholds is the model's.
    thresholds = {name: getattr(given, name) for name in SMALL_MODEL_THRESHOLDS}
    assert dataclasses.replace(found, **thresholds) == given


def test_sizes_count_that_a_training_run_or_another_input_does_not_change():
    released = dataclasses.replace(SIZES["vit_b"], image_size=512, remat=True)
    assert AutomaticConfig().for_model(released) == AutomaticConfig()
