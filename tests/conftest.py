"""Strict numerics, a warm compilation cache and shared fixtures for the whole suite."""

import gc
import importlib.util
import os
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Before jax starts, and for every process that a test starts: the bars of the suite are
# for float32 on a CPU, and nothing is compiled twice.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings

from samjax.inference.automatic import schedule
from samjax.models import PromptInputs, Sam, SamConfig

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

# The same examples in every run. No deadline: a first call compiles or imports, and
# other work shares the machine.
settings.register_profile("samjax", deadline=None, derandomize=True)
settings.load_profile("samjax")

# Linux allows a process 65,530 memory mappings (vm.max_map_count), and XLA crashes where it
# gets no more. Every compiled program takes about five.
MOST_MAPPINGS = 15_000

# Seconds on two quiet cores that a test may take. The report names those that took longer;
# none of them fails for it, since other work may have shared the machine.
BUDGET = 20
BUDGET_IF_SLOW = 60

SHIPPED_GROUPS = schedule.CPU_GROUPS

HAS_TORCH = importlib.util.find_spec("torch") is not None
WITHOUT_TORCH = (
    "torch is not installed, so nothing is compared with the PyTorch reference: "
    "install the extra `parity` (README, Testing)"
)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says at the top of the run what it will not show."""
    return None if HAS_TORCH else f"parity: {WITHOUT_TORCH}"


def pytest_collection_modifyitems(items: list[pytest.Item]):
    """Skips the comparisons with the PyTorch reference where there is no torch.

    Files with slow tests go first: two workers that take file by file then end together,
    where a slow file at the end would leave one of them idle for minutes.
    """
    if not HAS_TORCH:
        for item in items:
            if item.get_closest_marker("parity"):
                item.add_marker(pytest.mark.skip(reason=WITHOUT_TORCH))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter):
    """Lists the tests that took longer than their budget, set-up included."""
    seconds: dict[str, float] = {}
    slow = set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid] = seconds.get(report.nodeid, 0) + report.duration
                if "slow" in report.keywords:
                    slow.add(report.nodeid)
    over = [
        (time, test)
        for test, time in seconds.items()
        if time > (BUDGET_IF_SLOW if test in slow else BUDGET)
    ]
    if over:
        terminalreporter.section("tests over their budget of time")
    for time, test in sorted(over, reverse=True):
        terminalreporter.line(f"{time:6.1f} s  {test}")


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory) -> Path:
    """Keeps every test out of the user's cache of weights and compiled programs."""
    folder = tmp_path_factory.mktemp("samjax_cache")
    os.environ["SAMJAX_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_group_at_a_time():
    """Compiles everything mode with one group in a loop iteration instead of four.

    Groups do not depend on each other, and the program compiles in two thirds of the time.
    The comparison with the reference runs the program as it is (`shipped_groups`).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "CPU_GROUPS", SHIPPED_GROUPS._replace(num_parallel=1))
        yield


@pytest.fixture
def shipped_groups(monkeypatch):
    """Sets the group sizes of everything mode to those outside of tests."""
    monkeypatch.setattr(schedule, "CPU_GROUPS", SHIPPED_GROUPS)


def memory_mappings() -> int:
    """Returns the number of this process's memory mappings; 0 where /proc has none."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return 0


@pytest.fixture(scope="module", autouse=True)
def bounded_compiled_programs():
    """Drops compiled programs between files of tests, once there are very many.

    A process of thousands of tests would otherwise keep all that it has compiled. What is
    needed again comes from the compilation cache on disk.
    """
    yield
    if memory_mappings() > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def small_config() -> SamConfig:
    """Sizes of a model that compiles in seconds: 64 pixels, a grid of 8 x 8."""
    return SamConfig(
        image_size=64,
        patch_size=8,
        embed_dim=32,
        depth=2,
        num_heads=2,
        global_attention_blocks=(1,),
        window_size=3,
        decoder_mlp_dim=64,
    )


@pytest.fixture(scope="session")
def tiny_model(small_config) -> tuple[Sam, dict]:
    """A small model, and parameters of which none has the value it starts with.

    Fresh parameters hide bugs: position tables and biases are zero in them.
    """
    model = Sam(small_config)
    return model, random_params(model, seed=0)


def random_params(model: Sam, seed: int) -> dict:
    """Fills every parameter of a model with numbers of the scale of trained ones."""
    side = model.config.image_size
    low_res = 4 * model.config.grid_size
    prompts = PromptInputs(
        points=jnp.zeros((1, 1, 1, 2)),
        labels=jnp.zeros((1, 1, 1), jnp.int32),
        masks=jnp.zeros((1, 1, low_res, low_res)),
    )
    pixels = jnp.zeros((1, side, side, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), pixels, prompts)["params"]
    generator = np.random.default_rng(seed)

    def fill(path, leaf):
        noise = generator.standard_normal(leaf.shape).astype(np.float32)
        match path[-1].key:
            case "scale":
                return 1 + 0.1 * noise
            case "bias":
                return 0.1 * noise
            case "kernel":
                return noise / np.sqrt(np.prod(leaf.shape[:-1]))
            case _:
                return 0.5 * noise

    return jax.tree_util.tree_map_with_path(fill, shapes)
