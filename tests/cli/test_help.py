"""The help of every command: groups, examples that are accepted, and errors that name the right help."""

import dataclasses
import re
import shlex

import pytest

from modejax import SweepConfig
from modejax.cli import main
from modejax.cli.commands import COMMANDS, command_type, parse
from modejax.cli.options import SweepOptions
from modejax.layers.spectral import SPECTRAL_VARIANTS


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    # As in a terminal, where groups are boxes.
    monkeypatch.setattr("tyro._fmtlib._FORCE_UTF8_BOXES", True)


def printed(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == (0 if "--help" in words else 2)
    found = capsys.readouterr()
    return found.out + found.err


def test_every_field_of_a_sweep_is_an_option_of_one_group():
    groups = [field.type for field in dataclasses.fields(SweepOptions)]  # pyright: ignore[reportArgumentType]
    names = [field.name for group in groups for field in dataclasses.fields(group)]  # pyright: ignore
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(SweepConfig))
    assert SweepOptions(*(group() for group in groups)).config == SweepConfig()  # pyright: ignore


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal_in_groups_that_fit_a_screen(capsys, command):
    text = printed(capsys, command, "--help")
    body = text.partition("\n\n")[2]
    assert max(map(len, body.splitlines())) <= 80
    boxes = re.findall(r"╭─ .*?╰─", body, re.DOTALL)
    assert boxes
    assert max(box.count("\n") for box in boxes) < 60
    for example in command_type(command).examples:
        assert f"\n  {example}\n" in text


@pytest.mark.parametrize("example", [each for name in COMMANDS for each in command_type(name).examples])
def test_examples_are_accepted(example):
    start, *words = shlex.split(example)
    assert start == "modejax"
    command = parse(words)
    assert callable(command.run)
    if hasattr(command, "config"):
        assert isinstance(command.config.config, SweepConfig)


def test_the_options_of_a_sweep_stand_in_groups_with_their_texts(capsys):
    text = printed(capsys, "sweep", "--help")
    for group in ("grid", "network", "training", "curves", "arms", "machine"):
        assert f"╭─ {group} options ─" in text
    assert "Units in each hidden layer" in text
    assert "--arm ARM" in text
    listed = re.search(r"variants of spectral: (.*?)\.", " ".join(text.replace("│", " ").split()))
    assert listed is not None
    assert set(listed[1].replace(" (by default)", "").split(", ")) == set(SPECTRAL_VARIANTS)


@pytest.mark.parametrize("command", ["sweep", "plan", "svr"])
def test_an_error_names_the_help_of_its_command(capsys, command):
    assert f"modejax {command} --help" in printed(capsys, command, "--nothing")


def test_the_first_help_names_version_doctor_and_completion(capsys, tmp_path):
    text = printed(capsys, "--help")
    for words in ("modejax --version", "modejax doctor", "--tyro-write-completion bash"):
        assert words in text
    with pytest.raises(SystemExit) as stop:
        main(["--tyro-write-completion", "bash", str(tmp_path / "new" / "folder" / "modejax")])
    assert stop.value.code in (0, None)
    assert "--learning-rates" in (tmp_path / "new" / "folder" / "modejax").read_text()
    assert main(["--tyro-write-completion", "bash", str(tmp_path)]) == 2
    assert "is a folder; give the path of the file to write" in capsys.readouterr().err
