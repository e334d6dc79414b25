"""Builds by several processes: the same files, all progress, no process left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data.tfds.small_tars import files_of, members, write_tar

from samjax.data.tfds.build import build_shards, share_of_shards
from samjax.data.tfds.convert import convert_shard
from samjax.data.tfds.layout import BuildConfig, make_plan, read_report

ROOT = Path(__file__).parents[3]
SMALL = BuildConfig(long_side=36, parts=2)


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    return [
        write_tar(
            folder / f"sa_{index}.tar", members(range(40 * index, 40 * index + 40))
        )
        for index in range(2)
    ]


@pytest.fixture(scope="module")
def expected(tars, tmp_path_factory):
    plan = make_plan(tars, tmp_path_factory.mktemp("whole"), SMALL)
    for _ in build_shards(plan, range(plan.num_shards)):
        pass
    return files_of(plan.folder)


def test_shares_are_disjoint_and_cover_all_shards(tars, tmp_path):
    plan = make_plan(tars, tmp_path, SMALL)
    shares = [share_of_shards(plan, index, 3) for index in range(3)]
    assert sorted(number for share in shares for number in share) == list(range(4))
    with pytest.raises(ValueError, match="share 3 of 3"):
        share_of_shards(plan, 3, 3)


def test_shares_in_any_order_give_the_same_files(tars, expected, tmp_path):
    plan = make_plan(tars, tmp_path, SMALL)
    for index in (2, 0, 1):
        for _ in build_shards(plan, share_of_shards(plan, index, 3)):
            pass
    assert files_of(tmp_path) == expected


def test_two_processes_give_the_same_files_and_all_progress(tars, expected, tmp_path):
    plan = make_plan(tars, tmp_path, SMALL)
    news = list(build_shards(plan, range(4), workers=2))
    assert files_of(tmp_path) == expected
    last = {one.shard: one for one in news}
    assert sorted(last) == [0, 1, 2, 3]
    assert sum(one.done for one in last.values()) == 80
    assert all(one.report == read_report(plan, one.shard) for one in last.values())


def test_an_error_in_a_process_is_raised_here(tars, tmp_path):
    plan = make_plan(tars, tmp_path, SMALL)
    missing = plan._replace(tars=(tars[0], tmp_path / "gone.tar"))
    with pytest.raises(FileNotFoundError, match=r"gone\.tar"):
        list(build_shards(missing, range(4), workers=2))


def test_a_repeatedly_killed_build_gives_the_same_files(tars, expected, tmp_path):
    """Sends SIGKILL to the building process, at several instants."""
    code = (
        "import sys, time; from samjax.data.tfds import build, convert, layout; "
        "real = convert.convert_example\n"
        "def slow(*a): time.sleep(0.004); return real(*a)\n"
        "convert.convert_example = slow\n"
        "plan = layout.make_plan(sys.argv[2:], sys.argv[1], "
        "layout.BuildConfig(long_side=36, parts=2))\n"
        "print('go', flush=True)\n"
        "for _ in build.build_shards(plan, range(4)): pass"
    )
    command = [sys.executable, "-c", code, tmp_path, *tars]
    for delay in (0.02, 0.07, 0.13, 0.15):
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout and process.stdout.readline() == b"go\n"
        time.sleep(delay)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert files_of(tmp_path) != expected
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, capture_output=True)
    assert files_of(tmp_path) == expected


def test_a_process_that_dies_is_reported_and_the_others_are_terminated(tars, tmp_path):
    plan = make_plan(tars, tmp_path, SMALL)
    news = build_shards(plan, range(4), workers=2)
    next(news)
    children = _children()
    assert len(children) == 2
    os.kill(children[0], signal.SIGKILL)
    with pytest.raises(ValueError, match=r"-9.*again to resume"):
        for _ in news:
            pass
    assert not _children()


def test_processes_end_when_their_parent_is_killed(tars, tmp_path):
    # Imports in the processes of a spawned pool need a file with a guard.
    script = tmp_path / "build.py"
    script.write_text(
        "import sys, time\n"
        "from samjax.data.tfds import build, layout\n"
        "if __name__ == '__main__':\n"
        "    config = layout.BuildConfig(long_side=36, parts=2)\n"
        "    plan = layout.make_plan(sys.argv[2:], sys.argv[1], config)\n"
        "    for _ in build.build_shards(plan, range(4), workers=2):\n"
        "        print('go', flush=True)\n"
        "        time.sleep(60)\n"
    )
    command = [sys.executable, script, tmp_path / "out", *tars]
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout and process.stdout.readline() == b"go\n"
    children = _children(process.pid)
    assert len(children) == 2
    process.kill()
    process.communicate()
    end = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end, "a process goes on alone"
        time.sleep(0.05)


def _children(of: int | None = None) -> list[int]:
    """Returns the worker processes of a parent."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(parent) == (of or os.getpid()) and b"spawn_main" in words:
            found.append(int(folder.name))
    return found


def test_two_concurrent_builds_of_a_shard_give_the_same_file_and_leave_nothing(
    tars, tmp_path
):
    plan = make_plan(tars, tmp_path / "two", SMALL)
    one, other = convert_shard(plan, 0), convert_shard(plan, 0)
    next(one)
    next(other)
    list(one)
    shard = plan.shard(0).read_bytes()
    list(other)
    assert plan.shard(0).read_bytes() == shard
    hidden = [path for path in plan.folder.rglob("*") if path.name.startswith(".")]
    assert not hidden
