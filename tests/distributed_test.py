import jax
import pytest

from samjax import distributed
from samjax.distributed import Bounds, ending_together, start


@pytest.fixture
def joined(monkeypatch):
    """Records the calls to JAX, without any other process."""
    asked = {}
    monkeypatch.setattr(jax.distributed, "initialize", asked.update)
    monkeypatch.setattr(distributed, "_prepare_cpu", lambda seconds: None)
    return asked


def test_a_run_is_alone_unless_it_is_told_otherwise(joined):
    start(None, Bounds())
    assert joined == {}


def test_bounds_and_address_go_to_jax(joined, capfd):
    start("host-0:1234,1,4", Bounds(start=7, heartbeat=8, leave=9))
    assert joined == {
        "coordinator_address": "host-0:1234",
        "process_id": 1,
        "num_processes": 4,
        "initialization_timeout": 7,
        "heartbeat_timeout_seconds": 8,
        "shutdown_timeout_seconds": 9,
    }
    assert "ends all others within 8 s" in capfd.readouterr().out


def test_a_tpu_pod_knows_its_own_processes(joined):
    start("tpu", Bounds())
    assert not {"coordinator_address", "process_id", "num_processes"} & set(joined)


def test_slurm_is_asked_only_within_a_job(joined, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ValueError, match="start it with srun"):
        start("slurm", Bounds())
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    start("slurm", Bounds())
    assert joined["cluster_detection_method"] == "slurm"


@pytest.mark.parametrize(
    "way", ["host", "host:1", "host:1,0", ":1,0,2", "host:a,0,2", "host:1,-1,2", "gpu"]
)
def test_a_way_that_is_none_is_refused_with_those_that_are(joined, way):
    with pytest.raises(ValueError, match="expected auto, tpu, slurm, or HOST:PORT"):
        start(way, Bounds())
    assert joined == {}


def test_a_rank_beyond_the_last_is_refused(joined):
    with pytest.raises(ValueError, match="expected 0 to 3"):
        start("host:1,4,4", Bounds())


def test_auto_trains_alone_where_nothing_shows_others(monkeypatch, capfd):
    def initialize(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(distributed, "_prepare_cpu", lambda seconds: None)
    start("auto", Bounds())
    assert "a single process" in capfd.readouterr().out
    with pytest.raises(ValueError, match="should be defined"):
        start("tpu", Bounds())


def test_waits_of_a_cpu_are_bounded_unless_the_user_did(monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", lambda **_: None)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_some=1")
    changed = {}
    monkeypatch.setattr(jax.config, "update", changed.__setitem__)
    start("auto", Bounds(step=77))
    assert changed == {"jax_cpu_enable_async_dispatch": False}
    assert distributed.os.environ["XLA_FLAGS"] == (
        "--xla_some=1 --xla_cpu_collective_timeout_seconds=107"
    )
    start("auto", Bounds(step=5))
    assert "=107" in distributed.os.environ["XLA_FLAGS"]


def test_a_failure_of_a_process_that_is_alone_is_raised():
    with pytest.raises(KeyError), ending_together():
        raise KeyError("x")


def test_a_failure_of_one_of_many_ends_it_at_once(monkeypatch, capfd):
    codes = []
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "end_now", codes.append)
    with ending_together():
        raise OSError("the disk is gone")
    assert codes == [1]
    said = capfd.readouterr().err
    assert "process 0 of 1 ends, and the others with it: the disk is gone" in said
    assert "--resume" in said and "Traceback" in said
