import dataclasses

import pytest
from training.small_run import run_config

from samjax.data.datasets import DatasetConfig
from samjax.data.mixture import MixtureConfig, MixturePart
from samjax.data.synthetic import SceneConfig
from samjax.sharding import MeshConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.finetune.lora import LoraConfig
from samjax.training.step import StepConfig


def test_a_stage_draws_the_scenes_of_the_run_or_its_own_at_its_own_size():
    scenes = SceneConfig(num_objects=7, min_objects=2)
    config = dataclasses.replace(run_config(), scenes=scenes)
    (stage,) = config.stages
    size = {"size": stage.image_size, "num_masks": stage.masks_per_image}
    assert config.stage_scenes(stage) == dataclasses.replace(scenes, **size)
    plain = SceneConfig(camouflage=0.0, camera=False)
    own = dataclasses.replace(stage, scenes=plain)
    assert config.stage_scenes(own) == dataclasses.replace(plain, **size)


def test_a_step_has_the_fields_of_its_stage_and_run_by_name():
    names = {field.name for field in dataclasses.fields(StepConfig)}
    of_stage, of_run = (
        names & {field.name for field in dataclasses.fields(owner)}
        for owner in (Stage, TrainConfig)
    )
    # Of one of them each, or a value would be ambiguous.
    assert of_stage | of_run == names and not of_stage & of_run
    config = run_config()
    (stage,) = config.stages
    stage = dataclasses.replace(stage, crops=True, accumulate=2, repeat_masks=True)
    config = dataclasses.replace(config, trainable="decoder", lora=LoraConfig(rank=3))
    step = config.stage_step(stage)
    for owner, fields in ((stage, of_stage), (config, of_run)):
        for name in fields:
            assert getattr(step, name) == getattr(owner, name)


def test_a_stage_that_cannot_run_is_refused_with_all_its_faults():
    config = run_config()
    (stage,) = config.stages
    wrong = dataclasses.replace(stage, steps=0, image_size=33)
    with pytest.raises(ValueError, match=r"steps is below 1.*image_size=33"):
        dataclasses.replace(config, stages=(wrong,))


def test_a_batch_that_is_not_in_equal_parts_is_refused():
    config = run_config()
    (stage,) = config.stages
    wrong = dataclasses.replace(stage, batch_size=8, accumulate=3)
    with pytest.raises(ValueError, match="batch_size=8 is no multiple of"):
        dataclasses.replace(config, stages=(wrong,))


def test_what_is_reported_is_no_part_of_what_a_run_is():
    config = run_config()
    (stage,) = config.stages
    quiet = dataclasses.replace(config, log_every=99, tensorboard=True)
    assert quiet.identity() == config.identity()
    elsewhere = dataclasses.replace(config, mesh=MeshConfig(fsdp=4))
    assert elsewhere.identity() == config.identity()
    data = DatasetConfig(path="sa1b")
    faster, flipped = (
        dataclasses.replace(config, data=dataclasses.replace(data, **change))
        for change in (
            {"workers": 4, "prefetch": 9, "max_bad_fraction": 0.5},
            {"flip": True},
        )
    )
    on_data = dataclasses.replace(config, data=data)
    assert "final_norm" not in config.identity()["model"]
    model = dataclasses.replace(config.model, final_norm=True)
    assert dataclasses.replace(config, model=model).identity() != config.identity()
    assert faster.identity() == on_data.identity() != flipped.identity()
    for change in ({"scenes": SceneConfig(camouflage=0.0)}, {"repeat_masks": True}):
        other = dataclasses.replace(
            config, stages=(dataclasses.replace(stage, **change),)
        )
        assert other.identity() != config.identity()


def test_options_that_came_later_are_not_named_while_they_are_off():
    config = run_config()
    identity = config.identity()
    assert "repeat_masks" not in identity["stages"][0]
    assert "encoder_rate" not in identity["optimizer"]
    data = DatasetConfig(path="photos", format="coco")
    on_data = dataclasses.replace(config, data=data).identity()
    assert not {"unlabelled", "crowds", "images", "copy_paste"} & on_data["data"].keys()
    mixture = MixtureConfig(parts=(MixturePart(data=data),))
    mixed = dataclasses.replace(config, data=mixture).identity()["data"]["parts"][0]
    assert not {"crowds", "images"} & mixed["data"].keys()
    # These are as old as mixtures, whose checkpoints name them.
    assert {"unlabelled", "copy_paste"} <= mixed["data"].keys()
    elsewhere = dataclasses.replace(data, images="elsewhere")
    assert dataclasses.replace(config, data=elsewhere).identity() != on_data
    slow = dataclasses.replace(config.optimizer, encoder_rate=0.1)
    assert dataclasses.replace(config, optimizer=slow).identity() != identity
