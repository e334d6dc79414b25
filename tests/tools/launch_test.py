"""The launch scripts for many hosts, with two processes on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFIG = """
from samjax.models import SamConfig
from samjax.training.config import Stage, TrainConfig
from samjax.training.prompt_simulation import PromptSimulationConfig

def get_config():
    return TrainConfig(
        model=SamConfig(
            image_size=64, patch_size=8, embed_dim=32, depth=1, num_heads=2,
            global_attention_blocks=(0,), window_size=4, decoder_mlp_dim=32,
        ),
        stages=(
            Stage(
                steps=60, image_size=64, batch_size=2, masks_per_image=2,
                prompts=PromptSimulationConfig(
                    correction_points=0, refine_at_random=False, refine_at_end=False,
                ),
            ),
        ),
        checkpoint_every=1000,
        evaluate_every=1000,
        picture_every=None,
        tensorboard=False,
    )
"""


def start(folder):
    """Starts the script for two processes in a session of its own."""
    config = folder / "config.py"
    config.write_text(CONFIG)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    words = [str(ROOT / "tools/launch/hosts.sh"), str(config)]
    environment = os.environ | {
        "HOSTS": "local local",
        "PORT": port,
        "ATTEMPTS": "2",
        "SAMJAX": f"{sys.executable} -m samjax",
        "PYTHONPATH": str(ROOT),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    with open(folder / "log.txt", "a") as log:
        return subprocess.Popen(
            ["bash", *words, "--out", str(folder / "run"), "--held-out-scenes", "0"],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def steps_of(folder):
    path = folder / "run" / "metrics.jsonl"
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    return [line["step"] for line in map(json.loads, lines) if "loss" in line]


def wait_for(condition, process, folder):
    until = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, (folder / "log.txt").read_text()
        assert time.monotonic() < until, (folder / "log.txt").read_text()
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_list_of_hosts_trains_saves_when_asked_to_end_and_goes_on(tmp_path):
    script = start(tmp_path)
    try:
        wait_for(lambda: len(steps_of(tmp_path)) >= 5, script, tmp_path)
        script.send_signal(signal.SIGTERM)
        assert script.wait(120) == 130, (tmp_path / "log.txt").read_text()
    finally:
        script.kill()
    until = len(steps_of(tmp_path))
    assert 5 <= until < 60
    saved = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert saved == [str(until)]

    script = start(tmp_path)
    try:
        code = script.wait(600)
    finally:
        script.kill()
    said = (tmp_path / "log.txt").read_text()
    assert code == 0, said
    assert steps_of(tmp_path) == list(range(1, 61))
    assert f"{until} of 60 steps done" in said
    assert (tmp_path / "run" / "model.safetensors").exists()
