"""Run a study into a folder that is claimed, can be resumed, and is put in place whole."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from modejax._files import replaced
from modejax.errors import InputError
from modejax.runs import MARKER, Output, kind_of, output, read_json
from modejax.studies import find_study
from modejax.studies.files import write_text

__all__ = ["run_study"]

_ASKED = "study.json"
"""File of a study's folder that says, from the start on, what it was asked for."""


def run_study(
    name: str,
    out: str | Path | None = None,
    *,
    quick: bool = False,
    seeds: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> Path:
    """Run the study of a name and put its folder in place when it is whole.

    The networks that it trains are kept in `runs` of its folder; a study that is resumed or made anew takes those that
    are finished from there, or from a folder beside it.

    Args:
        name: a key of `modejax.studies.STUDIES`.
        out: the folder; by default a new one, `runs/NAME-001` and so on.
        quick: run the parts that take less than two minutes on two cores.
        seeds: over which the study averages; by default what the study says.
        overwrite: replace an earlier result of this study in `out`.
        resume: go on with this study in `out`, where it was stopped.

    Returns:
        The folder.

    Raises:
        InputError: the name is unknown, the folder is refused, or the study refuses its options.
    """
    study = find_study(name)
    asked = {"study": name, "quick": quick, "seeds": seeds}
    with output(out, "study", overwrite=overwrite, resume=resume, stem=name) as claimed:
        _check_asked(claimed, asked)
        if claimed.path != claimed.folder and not claimed.resumed:
            _keep_runs(claimed.folder, claimed.path)
        write_text(claimed.path / _ASKED, json.dumps(asked, indent=2) + "\n")
        try:
            study(claimed.path, quick=quick, seeds=seeds)
        except InputError:
            if set(os.listdir(claimed.path)) == {MARKER, _ASKED}:  # refused before it did anything
                (claimed.path / _ASKED).unlink()
            raise
        return claimed.finish()


def _check_asked(claimed: Output, asked: dict[str, object]) -> None:
    """Refuse to go on with another study, or with other options, and to replace another study."""
    if claimed.resumed and (claimed.path / _ASKED).exists():
        before = read_json(claimed.path, _ASKED)
        if before != asked:
            raise InputError(f"{claimed.path} was begun as {_words(before)} and cannot go on as {_words(asked)}")
    if claimed.path != claimed.folder and kind_of(claimed.folder) == "study" and (claimed.folder / _ASKED).exists():
        before = read_json(claimed.folder, _ASKED)
        if before.get("study") != asked["study"]:
            raise InputError(f"{claimed.folder} holds {_words(before)}; name another folder for {asked['study']}")


def _words(asked: dict[str, object]) -> str:
    return f"{asked.get('study')} (quick={asked.get('quick')}, seeds={asked.get('seeds')})"


def _keep_runs(earlier: Path, work: Path) -> None:
    """Give new work the trained networks of the result that it will replace; no file is ever changed in place."""
    if (earlier / "runs").is_dir():
        shutil.copytree(earlier / "runs", work / "runs", copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # not every file system has links
        with replaced(Path(target)) as part:
            shutil.copyfile(source, part)
