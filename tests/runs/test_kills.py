"""A process that replaces a result and is killed at any moment leaves the earlier result or the new one, whole."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from modejax.errors import InputError
from modejax.runs import output, read_bytes, read_marker

FILES = ("config.json", "deep/table.csv", "modes.npz")

REPLACES = f"""
import itertools, json, os, signal, sys
from modejax.runs import output
folder, kind, first, count, step = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
seen = 0
def kill(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"):
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
print("ready", flush=True)
if step:
    sys.addaudithook(kill)
for number in range(first, first + count):
    with output(folder, kind, overwrite=True) as out:
        (out.path / "deep").mkdir()
        for name in {FILES}:
            (out.path / name).write_text(json.dumps(number) * 4096)
        out.finish()
"""


def start(folder, kind, first, count=10**9, step=0):
    words = [sys.executable, "-c", REPLACES, str(folder), kind, str(first), str(count), str(step)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def whole(folder):
    """Return the number that a result consists of, all of its files checked."""
    marker = read_marker(folder)
    assert marker.state == "finished"
    assert tuple(marker.files) == FILES
    contents = {read_bytes(folder, name, marker=marker) for name in FILES}
    assert len(contents) == 1, "a mixture of two results"
    text = contents.pop().decode()
    number = text[: len(text) // 4096]
    assert text == number * 4096
    return int(number)


def write(folder, kind, number):
    with output(folder, kind, overwrite=True) as out:
        (out.path / "deep").mkdir()
        for name in FILES:
            (out.path / name).write_text(json.dumps(number) * 4096)
        out.finish()


def at(folder):
    """Return which folder has a name, if one has at this moment."""
    with contextlib.suppress(FileNotFoundError):
        return folder.stat().st_ino


def check_random_kills(tmp_path, kind, kills):
    folder, draw = tmp_path / "a", random.Random(kills)
    write(folder, kind, 10)
    latest, advanced = 10, 0
    for index in range(kills):
        process, inode = start(folder, kind, latest + 1), folder.stat().st_ino
        # From the first sign of life on, or from the first result that was replaced on, any moment.
        until = time.monotonic() + 60
        while (at(folder) == inode if index % 2 else len(os.listdir(tmp_path)) == 1) and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
        number = whole(folder)
        assert number >= latest
        advanced += number > latest
        latest = number
    assert advanced >= kills // 2
    write(folder, kind, latest + 1)
    assert whole(folder) == latest + 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", ["decompose", "sweep"])
def test_four_kills_lose_no_result(tmp_path, kind):
    check_random_kills(tmp_path, kind, 4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decompose", "sweep"])
def test_twenty_kills_lose_no_result(tmp_path, kind):
    check_random_kills(tmp_path, kind, 20)


def check_every_step(tmp_path, kind, stride):
    """Kill at the first change of the file system, the second, and so on, until the work comes to its end."""
    step, outcomes = 1, []
    while True:
        folder = tmp_path / f"a-{step}"
        write(folder, kind, 10)
        process = start(folder, kind, 11, 1, step)
        _, message = process.communicate(timeout=30)
        number = whole(folder)
        outcomes.append(number)
        write(folder, kind, 12)  # what was left behind hinders nobody
        assert whole(folder) == 12
        assert sorted(path.name for path in tmp_path.glob(f"*a-{step}*")) == [f"a-{step}"]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, message
        step += stride
    assert number == 11
    assert outcomes == sorted(outcomes), "the new result was there before, and not any more"
    assert outcomes.count(10) > 10 // stride
    assert outcomes.count(11) > 10 // stride


@pytest.mark.parametrize(("kind", "stride"), [("decompose", 7), ("sweep", 8)])
def test_a_kill_at_some_steps_loses_no_result(tmp_path, kind, stride):
    check_every_step(tmp_path, kind, stride)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decompose", "sweep"])
def test_a_kill_at_any_step_loses_no_result(tmp_path, kind):
    check_every_step(tmp_path, kind, 1)


def test_a_reader_beside_a_writer_sees_whole_results(tmp_path):
    folder = tmp_path / "a"
    write(folder, "svr", 10)
    process = start(folder, "svr", 11)
    try:
        seen, until = {10}, time.monotonic() + 2
        while time.monotonic() < until or (len(seen) < 3 and process.poll() is None):
            before = read_marker(folder)
            try:
                number = whole(folder)
            except InputError:  # replaced while it was read; no mixture is given
                assert read_marker(folder) != before
                continue
            assert number >= max(seen)
            seen.add(number)
    finally:
        process.kill()
        _, message = process.communicate(timeout=30)
    assert "Error" not in message
    assert whole(folder) >= max(seen)
