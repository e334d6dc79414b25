"""`samjax train` from a config file to weights that load."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samjax
from samjax import cli
from samjax.training import loop
from samjax.training.launch import load_config

CONFIG = """
from samjax.models import SamConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

def get_config():
    return TrainConfig(
        model=SamConfig(
            image_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=2,
            global_attention_blocks=(0,), window_size=4, decoder_mlp_dim=32,
        ),
        stages=(
            Stage(
                steps=50, image_size=32, batch_size=1, masks_per_image=1,
                prompts=PromptSimulationConfig(
                    correction_points=0, refine_at_random=False, refine_at_end=False,
                ),
            ),
        ),
        picture_every=None,
        tensorboard=False,
    )
"""


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def idle_step(monkeypatch):
    """Replaces the training step by one that changes no parameter and compiles at once."""

    def compile_step(model, optimizer, config, stage, state):
        del model, optimizer, config, stage, state

        @jax.jit
        def step(state, batch, key):
            del batch, key
            return state._replace(step=state.step + 1), {"loss": jnp.zeros(())}

        return step

    monkeypatch.setattr(loop, "compile_step", compile_step)


@pytest.mark.slow
def test_a_run_leaves_weights_that_are_gone_on_with_and_evaluated(
    config, tmp_path, capfd
):
    out = tmp_path / "run"
    words = ["train", str(config), "--out", str(out), "--stages.0.steps", "2"]
    assert cli.main([*words, "--held-out-scenes", "1"]) == 0
    weights = out / "model.safetensors"
    assert str(weights) in capfd.readouterr().out
    model, params = samjax.load(weights)
    assert model.config.embed_dim == 32 and params["image_encoder"]
    lines = (out / "metrics.jsonl").read_text().splitlines()
    logged = {name for line in lines for name in json.loads(line)}
    assert "held_out/click_1" in logged

    assert cli.main(words) == 1
    assert "holds a run at step 2" in capfd.readouterr().err
    assert cli.main([*words, "--resume", "--held-out-scenes", "0"]) == 0

    words = ["train", str(config), "--initial", str(weights), "--stages.0.steps", "1"]
    words += ["--held-out-scenes", "0", "--optimizer.peak-learning-rate", "0"]
    assert cli.main([*words, "--out", str(tmp_path / "more")]) == 0
    _, later = samjax.load(tmp_path / "more" / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, later, params)

    report = tmp_path / "reports" / "small.json"
    asked = ["evaluate", str(weights), "--scenes", "1", "--out", str(report)]
    assert cli.main(asked) == 0
    assert "click_5_oracle" in capfd.readouterr().out
    assert 0 <= json.loads(report.read_text())["scores"]["box"] <= 1


def test_a_vocabulary_is_kept_and_is_no_option(tmp_path, monkeypatch, capfd):
    path = tmp_path / "text.py"
    path.write_text(
        "import samjax.training.config as c, small_text_sam as s, dataclasses as d\n"
        "def get_config():\n"
        "    model = d.replace(s.SMALL_TEXT, words=(), text_tower='siglip',\n"
        "        text_vocabulary='A' * 5000)\n"
        "    return c.TrainConfig(model=model, stages=(c.Stage(steps=1, image_size=64,\n"
        "        batch_size=1, masks_per_image=1),))\n"
    )
    with pytest.raises(SystemExit):
        cli.main(["train", str(path), "--help"])
    assert "A" * 70 not in capfd.readouterr().out
    given = []
    monkeypatch.setattr(
        "samjax.cli.train._embed", lambda config, share: given.append(config)
    )
    cli.main(["train", str(path), "--text-vectors", "0/1", "--seed", "3"])
    assert given[0].seed == 3 and given[0].model.text_vocabulary == "A" * 5000


def test_the_help_of_a_config_lists_its_fields_and_values(config, capfd):
    with pytest.raises(SystemExit) as exit:
        cli.main(["train", str(config), "--help"])
    assert exit.value.code == 0
    told = capfd.readouterr().out
    assert "--stages.0.steps" in told and "(default: 50)" in told
    assert "--held-out-scenes" in told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("def get_config(", "SyntaxError"),
        ("", "no attribute 'get_config'"),
        ("def get_config(): return 1", "returned a int"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_a_config_that_is_none_is_one_line(tmp_path, capfd, content, said):
    path = tmp_path / "config.py"
    if content is not None:
        path.write_text(content)
    assert cli.main(["train", str(path)]) == 1
    err = capfd.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.usefixtures("idle_step")
def test_a_run_may_start_from_the_encoder_of_a_masked_autoencoder(
    config, tmp_path, rng, capfd
):
    from checkpoints.mae_test import draw, layout, write

    arrays = draw(rng, layout(load_config(config).model, side=4, patch=8))
    path = write(tmp_path / "mae.pth", arrays)
    out = tmp_path / "run"
    words = ["train", str(config), "--initial", f"mae:{path}", "--out", str(out)]
    words += ["--stages.0.steps", "1", "--held-out-scenes", "0"]
    assert cli.main(words) == 0
    _, params = samjax.load(out / "model.safetensors")
    np.testing.assert_array_equal(
        params["image_encoder"]["blocks_0"]["mlp"]["lin1"]["kernel"],
        arrays["blocks.0.mlp.fc1.weight"].T,
    )
    capfd.readouterr()

    words[3] = f"mae:{tmp_path / 'none.pth'}"
    assert cli.main([*words, "--resume"]) == 1
    err = capfd.readouterr().err
    assert "mae_pretrain_vit_base" in err and err.count("\n") == 1


@pytest.mark.usefixtures("idle_step")
def test_a_run_may_start_from_a_dinov2(config, tmp_path, rng, capfd):
    """With sizes given by name: its patches are of 14 pixels, its norm is kept."""
    from checkpoints.small_dinov2 import draw, write_folder

    arrays = draw(rng)
    folder = write_folder(tmp_path / "dinov2", arrays)
    out = tmp_path / "run"
    words = ["train", str(config), "--initial", f"dinov2:{folder}", "--out", str(out)]
    sizes = {"image-size": 56, "patch-size": 14, "embed-dim": 24, "depth": 3}
    for name, size in sizes.items():
        words += [f"--model.{name}", str(size)]
    words += ["--model.global-attention-blocks", "0", "1", "2", "--model.final-norm"]
    words += ["--stages.0.image-size", "56", "--stages.0.steps", "1"]
    words += ["--held-out-scenes", "0"]
    assert cli.main(words) == 0
    model, params = samjax.load(out / "model.safetensors")
    assert (model.config.image_size, model.config.patch_size) == (56, 14)
    norm = params["image_encoder"]["norm"]["bias"]
    np.testing.assert_array_equal(norm, arrays["layernorm.bias"])
    capfd.readouterr()

    words[3] = f"dinov2:{tmp_path / 'none'}"
    assert cli.main([*words, "--resume"]) == 1
    err = capfd.readouterr().err
    assert "facebook/dinov2-small" in err and err.count("\n") == 1


def test_a_config_is_not_asked_for_the_sizes_of_an_encoder(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG.replace("get_config()", "get_config(model=None)"))
    for initial in ("mae:none.pth", "dinov2:none"):
        assert load_config(path, initial).total_steps == 50
    with pytest.raises(samjax.CheckpointError):
        load_config(path, "none.pth")


@pytest.mark.parametrize("initial", [None, "tiny"])
def test_a_decoder_without_an_encoder_to_go_with_is_one_line(
    config, tmp_path, capfd, initial
):
    words = ["train", str(config), "--initial-decoder", "tiny"]
    words += ["--out", str(tmp_path / "run")]
    words += [] if initial is None else ["--initial", initial]
    assert cli.main(words) == 2
    err = capfd.readouterr().err
    assert "--initial-decoder tiny" in err and err.count("\n") == 1


def test_initial_weights_of_other_sizes_are_one_line(config, tmp_path, capfd):
    words = ["train", str(config), "--initial", "tiny", "--out", str(tmp_path / "run")]
    assert cli.main(words) == 2
    err = capfd.readouterr().err
    assert "other sizes" in err and err.count("\n") == 1


def test_a_way_to_meet_other_processes_that_is_none_is_one_line(
    config, tmp_path, capfd, monkeypatch
):
    words = ["train", str(config), "--out", str(tmp_path / "run")]
    assert cli.main([*words, "--distributed", "host:1"]) == 1
    err = capfd.readouterr().err
    assert "got --distributed host:1, expected auto" in err and err.count("\n") == 1
    monkeypatch.setenv("SAMJAX_DISTRIBUTED", "nothing")
    assert cli.main(words) == 1
    assert "got --distributed nothing" in capfd.readouterr().err


def test_a_wrong_value_of_a_field_is_one_line(config, tmp_path, capfd):
    out = ["--out", str(tmp_path / "run")]
    assert cli.main(["train", str(config), *out, "--stages.0.steps", "many"]) == 2
    assert "--stages.0.steps" in capfd.readouterr().err
    assert cli.main(["train", str(config), *out, "--stages.0.steps", "0"]) in (1, 2)
    err = capfd.readouterr().err
    assert "below 1" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_config_is_the_files_own(config):
    assert load_config(config).total_steps == 50
