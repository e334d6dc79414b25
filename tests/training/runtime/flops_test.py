import dataclasses
import math
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from training.discs import disc_batch

from samjax.models import SIZES, PromptInputs, Sam, SamConfig
from samjax.training.finetune.trainable import merge_params, split_params
from samjax.training.prompt_simulation import PromptSimulationConfig
from samjax.training.runtime.flops import (
    encoder_multiply_adds,
    peak_flops,
    prompt_multiply_adds,
    rounds_multiply_adds,
    step_flops,
)
from samjax.training.step import StepConfig, batch_loss, init_params

# A grid of 16 with padded windows, wide enough for products to be nearly all of it.
CONFIG = SamConfig(
    image_size=128,
    patch_size=8,
    embed_dim=256,
    depth=2,
    num_heads=4,
    global_attention_blocks=(1,),
    window_size=7,
    decoder_depth=1,
    final_norm=True,
)
# One round after the first: the compiler counts a loop's body once.
PROMPTS = PromptSimulationConfig(
    correction_points=0, refine_at_random=False, remat=False
)
STEP = StepConfig(prompts=PROMPTS, resolution="logits")


def shapes_of(config: SamConfig):
    return jax.eval_shape(lambda: init_params(jax.random.key(0), Sam(config)))


def multiply_adds(function, *arguments) -> int:
    """All multiply-adds of the matrix products that a function traces to."""
    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


def count(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [count(each) for each in subprograms(equation)]
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = math.prod(left[axis] for axis in contracted)
            total += depth * math.prod(equation.outvars[0].aval.shape)
        elif equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            output = equation.outvars[0].aval.shape
            total += math.prod(kernel[:-1]) * math.prod(output)
        elif equation.primitive.name == "scan":
            total += equation.params["length"] * sum(inner)
        elif equation.primitive.name == "cond":
            # What differs by platform computes the same.
            assert len(set(inner)) == 1
            total += inner[0]
        else:
            total += sum(inner)
    return total


def subprograms(equation):
    for value in equation.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            each = getattr(each, "jaxpr", each)
            if hasattr(each, "eqns"):
                yield each


@pytest.mark.parametrize(
    ("name", "billions"), [("vit_b", 486), ("vit_l", 1493), ("vit_h", 2981)]
)
def test_the_released_encoders_have_their_known_cost(name, billions):
    config = SIZES[name]
    counted = encoder_multiply_adds(config, 1024)
    assert round(counted / 1e9) == billions
    traced = multiply_adds(
        lambda params, pixels: Sam(config).apply(
            {"params": params}, pixels, method="encode_image"
        ),
        shapes_of(config),
        jax.ShapeDtypeStruct((1, 1024, 1024, 3), jnp.float32),
    )
    assert traced == counted


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize(("sets", "points"), [(1, 2), (64, 2), (64, 10), (3, 40)])
def test_every_product_of_a_prompt_is_counted(sets, points, has_mask):
    config = SIZES["vit_b"]
    prompts = PromptInputs(
        jnp.zeros((1, sets, points, 2)),
        jnp.ones((1, sets, points), jnp.int32),
        jnp.zeros((1, sets, 64, 64)) if has_mask else None,
    )
    traced = multiply_adds(
        lambda params, embedding: Sam(config).apply(
            {"params": params}, embedding, prompts, method="decode"
        ),
        shapes_of(config),
        jnp.zeros((1, 16, 16, 256)),
    )
    counted = prompt_multiply_adds(config, 256, sets, points, has_mask=has_mask)
    # Left out: what folding the queries' bias takes.
    assert counted <= traced < 1.0005 * counted


def loss_of(config: SamConfig, step: StepConfig = STEP):
    batch = disc_batch(0, size=config.image_size, masks=4)

    def loss(params, key):
        return batch_loss(params, batch, key, Sam(config), step)[0]

    return loss


@pytest.mark.parametrize(
    ("preset", "encoder"),
    [("all", "trained"), ("neck_and_decoder", "neck"), ("decoder", "frozen")],
)
def test_a_whole_step_is_what_the_compiler_counts(preset, encoder):
    trainable, frozen = split_params(shapes_of(CONFIG), preset)

    def loss(trainable, frozen, key):
        return loss_of(CONFIG)(merge_params(trainable, frozen), key)

    lowered = jax.jit(jax.grad(loss)).lower(trainable, frozen, jax.random.key(0))
    # Counted before machine code is made, on which no time has to be spent.
    compiled = lowered.compile({"xla_backend_optimization_level": 0})
    counted = step_flops(CONFIG, 128, 2, 4, PROMPTS, encoder=encoder)
    analysis = compiled.cost_analysis()
    # The compiler adds norms, activations and losses, and leaves out the gradients of
    # pixels and of masks that were fed back.
    assert analysis["flops"] == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("recompute", [False, True])
def test_a_step_of_all_rounds_is_what_is_traced(recompute):
    config = dataclasses.replace(CONFIG, remat=recompute)
    prompts = PromptSimulationConfig(remat=recompute)
    step = dataclasses.replace(STEP, prompts=prompts)
    traced = multiply_adds(
        jax.grad(loss_of(config, step)), shapes_of(config), jax.random.key(0)
    )
    counted = step_flops(config, 128, 2, 4, prompts, recompute=recompute)
    assert 2 * traced == pytest.approx(counted, rel=0.02)


def test_less_of_an_encoder_is_trained_for_less():
    prompts = PromptSimulationConfig()
    costs = [
        step_flops(CONFIG, 128, 2, 4, prompts, encoder=encoder)
        for encoder in ("trained", "adapted", "frozen")
    ]
    one_pass = 2 * 2 * encoder_multiply_adds(CONFIG, 128)
    assert costs[0] - costs[1] == costs[1] - costs[2] == one_pass
    in_prompts = 2 * 2 * rounds_multiply_adds(CONFIG, 128, 4, prompts)
    assert costs[2] == one_pass + 3 * in_prompts


@pytest.mark.parametrize(("size", "chips"), [("b", 128), ("l", 128), ("h", 256)])
def test_the_times_that_the_recipes_promise_are_what_is_counted(size, chips):
    path = Path(__file__).parents[3] / f"configs/train/sa1b_vit_{size}.py"
    recipe = runpy.run_path(str(path))
    config = recipe["get_config"]()
    (stage,) = config.stages
    flops = step_flops(
        config.model,
        stage.image_size,
        stage.batch_size,
        stage.masks_per_image,
        stage.prompts,
    )
    in_encoder = 6 * stage.batch_size * encoder_multiply_adds(config.model, 1024)
    peak = peak_flops("TPU v5 lite", config.dtype)
    assert peak is not None
    seconds = flops / (0.3 * chips * peak)
    said = " ".join(recipe["__doc__"].split())
    assert f"v5e-{chips}, one image a chip" in said
    assert f"a step is {flops / 1e12:.0f} TFLOPs" in said
    assert f"({100 * (1 - in_encoder / flops):.0f} % of them in the prompts'" in said
    assert f"{seconds:.2f} s on a v5e-{chips} at 30 % utilisation" in said
    assert f"{seconds * stage.steps / 3600:.1f} hours for all steps" in said


@pytest.mark.parametrize(
    ("kind", "bfloat16", "float32"),
    [
        ("TPU v4", 275, 275),
        ("TPU v5 lite", 197, 197),
        ("TPU v5", 459, 459),
        ("TPU v6 lite", 918, 918),
        ("TPU7x", 1153.5, 1153.5),
        ("NVIDIA A100-SXM4-40GB", 312, 156),
        ("NVIDIA A100 80GB PCIe", 312, 156),
        ("NVIDIA H100 80GB HBM3", 989.4, 494.7),
        ("NVIDIA H200", 989.4, 494.7),
    ],
)
def test_a_device_is_known_by_the_name_that_jax_gives_it(kind, bfloat16, float32):
    assert peak_flops(kind, "bfloat16") == pytest.approx(bfloat16 * 1e12)
    assert peak_flops(kind, "float32") == pytest.approx(float32 * 1e12)


@pytest.mark.parametrize(
    "kind",
    ["cpu", "TPU v9", "NVIDIA H200 NVL", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"],
)
def test_an_unknown_device_has_no_peak(kind):
    assert peak_flops(kind, "bfloat16") is None
