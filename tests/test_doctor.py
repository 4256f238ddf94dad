"""What `modejax doctor` finds, and that a platform which is not there is told in a sentence."""

import json
import os
import subprocess
import sys

import jax
import pytest

from modejax import doctor
from modejax.backend import no_device
from modejax.cli import main
from modejax.doctor import Finding, examine


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("MODEJAX_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


def test_versions_devices_data_and_caches_are_found(tmp_path):
    found = {(each.topic, each.what): each for each in examine()}
    assert found["versions", "jax"].text == jax.__version__
    assert found["environment", "MODEJAX_DATA_DIR"].text == str(tmp_path)
    assert found["devices", jax.devices()[0].platform].text.startswith(f"{len(jax.devices())} x ")
    assert {found["jaxlib", name].state for name in ("float32", "float64")} == {"ok"}
    assert found["data", "digits"].state == "ok"
    assert found["data", "mnist"].state == "missing"
    assert "modejax data prepare mnist" in found["data", "mnist"].text
    assert ("caches", "compiled programs") in found


def test_it_is_printed_and_a_problem_is_the_exit_code(capsys, monkeypatch):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("no problem found\n")
    assert "\n  ok       digits " in printed
    monkeypatch.setattr(doctor, "squares_error", lambda *_: 0.5)
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == 2
    wrong = [Finding(**each) for each in found["found"] if each["state"] == "problem"]
    assert all("39103" in each.text and "install another jaxlib" in each.text for each in wrong)


def test_other_errors_are_left_alone():
    assert no_device(AssertionError("mine")) == ""
    assert no_device(ValueError("x")) == ""


@pytest.mark.parametrize("command", ["plan", "doctor"])
def test_a_platform_that_is_not_there_is_told_in_a_sentence(command):
    environment = os.environ | {"JAX_PLATFORMS": "rocm"}
    done = subprocess.run(
        [sys.executable, "-m", "modejax", command], capture_output=True, text=True, env=environment, check=False
    )
    assert "Traceback" not in done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "JAX_PLATFORMS is 'rocm', and JAX finds no such device here" in said
    assert done.returncode == (1 if command == "doctor" else 2)
