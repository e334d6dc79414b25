"""The TPU compiler's report on a training step, and the parser of its text."""

import dataclasses
import importlib
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from samjax.models import SamConfig
from samjax.sharding import MeshConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

sys.path.append(str(Path(__file__).parents[1] / "tools"))
aot_tpu = importlib.import_module("aot_tpu")
hlo = importlib.import_module("aot.hlo")
report = importlib.import_module("aot.report")
slices = importlib.import_module("aot.slices")

HAS_COMPILER = importlib.util.find_spec("libtpu") is not None
needs_compiler = pytest.mark.skipif(
    not HAS_COMPILER, reason="libtpu is not installed (pip install 'jax[tpu]')"
)

# Two blocks with windows and a global one, over the released models' grid and windows.
SHALLOW = SamConfig(
    embed_dim=256,
    depth=3,
    num_heads=4,
    global_attention_blocks=(2,),
    decoder_mlp_dim=256,
    remat=True,
    scan=True,
    drop_path_rate=0.1,
)
STAGE = Stage(
    steps=10,
    image_size=1024,
    batch_size=8,
    masks_per_image=2,
    prompts=PromptSimulationConfig(
        correction_points=1, refine_at_random=False, refine_at_end=False
    ),
    resolution="logits",
)
RUN = TrainConfig(
    model=SHALLOW, stages=(STAGE,), dtype="bfloat16", mesh=MeshConfig(data=2, fsdp=4)
)


def compiled(program, name, *, stage=STAGE, config=RUN):
    return report.cached_report(
        program,
        config,
        stage,
        slices.find_slice(name),
        attention="auto",
        effort="low",
        afresh=True,
        text_to=None,
    )


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["v5e:2x4", "v5p:2x2x2", "v6e:2x4"])
def test_a_step_fits_shares_its_state_and_has_no_logits_of_all_pairs(name):
    found = compiled("train", name)
    assert found["fits"]
    assert found["chips"] == 8
    # Parameters and the optimizer's two copies, float32, a quarter on each chip but for
    # small ones and the padding of tiles.
    state = 3 * 4 * number_of_parameters()
    assert state / 4 < found["donated_bytes_per_chip"] < 1.5 * state / 4
    # Everything but some scalars is written where the old state was.
    assert found["donated_bytes_per_chip"] > 0.99 * found["output_bytes_per_chip"]
    kinds = set(found["collectives"])
    assert "all-gather" in kinds
    assert kinds & {"all-reduce", "reduce-scatter"}
    # Forward, and two for the gradients.
    assert found["kernels"] >= 3
    assert found["square_logits"] == []


@needs_compiler
@pytest.mark.slow
def test_a_batch_that_is_too_large_is_refused():
    stage = dataclasses.replace(STAGE, batch_size=8 * 256)
    found = compiled("train", "v5e:2x4", stage=stage)
    assert not found["fits"]
    assert found["peak_bytes_per_chip"] > found["usable_bytes_per_chip"]
    assert "DOES NOT FIT" in report.describe(found)


@needs_compiler
@pytest.mark.slow
def test_the_command_prints_writes_and_caches_the_report(tmp_path, monkeypatch, capsys):
    path = tmp_path / "config.py"
    path.write_text(
        "import aot_tpu_test\ndef get_config():\n    return aot_tpu_test.RUN\n"
    )
    words = [
        *("aot_tpu", str(path), "--topology", "v5e-8", "--program", "encoder"),
        *("--effort", "low", "--json", str(tmp_path / "out.json")),
        *("--images-per-chip", "1", "--mesh", "data=1,fsdp=8"),
    ]
    monkeypatch.setattr(sys, "argv", words)
    assert aot_tpu.main() == 0
    said = capsys.readouterr().out
    assert "fits" in said
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["fits"]
    assert written["square_logits"] == []
    assert written["mesh"] == {"data": 1, "fsdp": 8, "tensor": 1}
    assert written["programs"]["encoder"]["peak_bytes_per_chip"] > 2**20

    monkeypatch.setattr(report, "measure", None)
    assert aot_tpu.main() == 0
    assert capsys.readouterr().out == said


def number_of_parameters():
    import jax

    from samjax.models import Sam
    from samjax.training.step import init_params

    shapes = jax.eval_shape(lambda k: init_params(k, Sam(SHALLOW)), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize(
    ("name", "topology", "chips_per_host"),
    [
        ("v5e-8", "v5e:2x4", (2, 4, 1)),
        ("v5litepod-16", "v5e:4x4", (2, 2, 1)),
        ("v5e-256", "v5e:16x16", (2, 2, 1)),
        ("v5p-64", "v5p:2x4x4", (2, 2, 1)),
        ("v6e:2x4", "v6e:2x4", (2, 4, 1)),
    ],
)
def test_slices_are_found_by_their_usual_names(name, topology, chips_per_host):
    found = slices.find_slice(name)
    assert (found.topology, found.chips_per_host) == (topology, chips_per_host)


@pytest.mark.parametrize("name", ["v5e-7", "v5p-9", "v5e:2x2x2", "v3-8", "v5e"])
def test_an_unknown_slice_is_refused(name):
    with pytest.raises(ValueError, match="expected v5e-N"):
        slices.find_slice(name)


@pytest.mark.skipif(HAS_COMPILER, reason="libtpu is installed")
def test_without_a_compiler_the_error_says_what_to_install(monkeypatch, capsys):
    config = Path(__file__).parents[1] / "configs/train/synthetic_tiny.py"
    words = ["aot_tpu", str(config), "--topology", "v5e-8"]
    monkeypatch.setattr(sys, "argv", words)
    assert aot_tpu.main() == 2
    assert "pip install 'jax[tpu]'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["data", "data=x", "rows=2", "data=2;fsdp=4"])
def test_a_malformed_mesh_is_refused(text):
    with pytest.raises(ValueError, match="expected sizes such as"):
        aot_tpu.parse_mesh(text)


def test_a_mesh_is_parsed():
    assert aot_tpu.parse_mesh("data=-1,fsdp=4") == MeshConfig(data=-1, fsdp=4)


LOOP = """
HloModule jit_step, is_scheduled=true

%body (p: (s32[], bf16[8,16])) -> (s32[], bf16[8,16]) {
  %p = (s32[]{:T(128)}, bf16[8,16]{1,0:T(8,128)(2,1)}) parameter(0)
  %x = bf16[8,16]{1,0:T(8,128)(2,1)} get-tuple-element(%p), index=1
  %gathered = bf16[32,16]{1,0:T(8,128)(2,1)} all-gather(%x), channel_id=1, dimensions={0}
  %kernel = bf16[8,16]{1,0:T(8,128)(2,1)} custom-call(%gathered), backend_config={
    "text": "a line of its own"
}}, metadata={op_name="kernel"}
  ROOT %out = (s32[], bf16[8,16]) tuple(%i, %kernel)
}

%condition (p: (s32[], bf16[8,16])) -> pred[] {
  %limit = s32[]{:T(128)} constant(4)
  ROOT %less = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

ENTRY %main (a: bf16[8,16]) -> bf16[8,16] {
  %a = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(0)
  %near = bf16[8,16]{1,0:T(8,128)(2,1)S(1)} copy(%a)
  %start = (s32[], bf16[8,16]) tuple(%zero, %a)
  %loop = (s32[], bf16[8,16]) while(%start), condition=%condition, body=%body
  ROOT %sum = bf16[8,16]{1,0:T(8,128)(2,1)} all-reduce(%near), channel_id=2
}
"""


def test_collectives_in_loops_count_as_often_as_they_run():
    assert hlo.collectives(hlo.parse(LOOP)) == {
        "all-gather": {"count": 4, "bytes": 4 * 32 * 16 * 2},
        "all-reduce": {"count": 1, "bytes": 8 * 16 * 2},
    }


def test_a_kernel_counts_as_its_inputs_and_outputs_and_fast_memory_as_zero():
    small, large = 8 * 16 * 2, 32 * 16 * 2
    gather, kernel = small + large, large + small
    copy, reduction = small, small
    expected = 4 * (gather + kernel) + copy + reduction
    assert hlo.memory_traffic(hlo.parse(LOOP)) == expected


FUSIONS = """
%slices (q: f32[4,128], i: s32[]) -> f32[128] {
  %q = f32[4,128]{1,0} parameter(0)
  %i = s32[] parameter(1)
  ROOT %row = f32[1,128]{1,0} dynamic-slice(%q, %i), dynamic_slice_sizes={1,128}
}

%updates (r: f32[4,128], u: f32[1,128]) -> f32[4,128] {
  %r = f32[4,128]{1,0} parameter(0)
  %u = f32[1,128]{1,0} parameter(1)
  ROOT %set = f32[4,128]{1,0} dynamic-update-slice(%r, %u)
}

ENTRY %main (q: f32[4,128], i: s32[]) -> f32[4,128] {
  %q = f32[4,128]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %row = f32[1,128]{1,0} fusion(%q, %i), kind=kLoop, calls=%slices
  ROOT %all = f32[4,128]{1,0} fusion(%q, %row), kind=kLoop, calls=%updates
}
"""


def test_a_fusion_that_slices_or_updates_counts_only_the_slice():
    row, index = 128 * 4, 4
    # The slice in and out; the update read, and read and written in its place.
    assert hlo.memory_traffic(hlo.parse(FUSIONS)) == (2 * row + index) + 3 * row


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ("f32[4,12,4096,4096]", True),
        ("bf16[4096,12,4096]", True),
        ("f32[12,4096,64,64]", True),
        ("f32[64,64,12,64,64]", True),
        ("pred[4096,4096]", False),
        ("f32[4,12,256,4096]", False),
        ("bf16[64,4096,2,2,64]", False),
        ("f32[4,12,64,64,64]", False),
    ],
)
def test_logits_of_all_pairs_are_detected_in_any_axis_order(shape, found):
    assert bool(hlo.square_floats(f"%x = {shape}{{1,0}} add(%a)", 4096)) == found


def test_hidden_units_as_many_as_tokens_do_not_count_as_logits():
    # ViT-L's MLP, of 2 images, and its 16 heads' logits.
    text = "%x = f32[2,64,64,4096]{1,0} add(%a)\n%y = f32[32,4096,4096]{1,0} add(%b)"
    assert len(hlo.square_floats(text, 4096)) == 2
    assert hlo.square_floats(text, 4096, times=16) == ["f32[32,4096,4096]"]


def test_the_compilers_error_message_is_parsed():
    message = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for "
        "HLO temporaries (26.22G) exceeds available HBM (15.75G)."
    )
    assert report.bytes_needed(message) == pytest.approx(26.22 * 2**30)
    assert report.bytes_needed("INTERNAL: something else") is None
