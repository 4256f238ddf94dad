"""Output folders: what is refused and left untouched, how a result is replaced, and numbered names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modejax.errors import InputError
from modejax.runs import KINDS, MARKER, new_folder, output, read_bytes, read_json, read_marker, unfinished
from modejax.runs._exchange import names_of
from modejax.runs._marker import PART, Marker, save_marker

LONG = ("sweep", "study")
SHORT = tuple(kind for kind in KINDS if kind not in LONG)


def write(folder, kind, value=1, **options):
    with output(folder, kind, **options) as out:
        (out.path / "config.json").write_text(json.dumps({"value": value}))
        (out.path / "figures").mkdir(exist_ok=True)
        (out.path / "figures" / "a.png").write_bytes(b"png")
        return out.finish(["config.json"])


def fail(folder, kind, error, **options):
    with output(folder, kind, **options) as out:
        (out.path / "config.json").write_text('{"value": 2}')
        raise error


def value(folder):
    return read_json(folder, "config.json")["value"]


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_folder_is_marked_and_alone(tmp_path, kind):
    folder = write(tmp_path / "deep" / "a", kind)
    marker = read_marker(folder, kind)
    assert (marker.kind, marker.state, list(marker.files)) == (kind, "finished", ["config.json"])
    assert marker.entries == ("config.json", "figures")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a"]
    assert not (folder / PART).exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
def test_a_foreign_folder_is_never_touched(tmp_path, kind, options):
    mine = tmp_path / "mine"
    (mine / "checkpoint" / "epoch-0000001").mkdir(parents=True)
    (mine / "config.json").write_text('{"model": "of another program"}')
    (mine / "checkpoint" / "weights.bin").write_bytes(b"weights")
    before = tree(mine)
    with pytest.raises(InputError, match="was not made by modejax"), output(mine, kind, **options):
        pytest.fail("it was given")
    if kind in LONG:
        with pytest.raises(InputError, match="nothing in it is changed"), output(mine, kind, resume=True):
            pytest.fail("it was given")
    assert tree(mine) == before
    assert (mine / "checkpoint" / "epoch-0000001").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("beside", [".a.new", ".a.old", "a.unfinished"])
def test_a_foreign_folder_beside_is_never_touched(tmp_path, beside):
    (tmp_path / beside).mkdir()
    (tmp_path / beside / "thesis.tex").write_text("mine")
    for kind in ("svr", "sweep"):
        with pytest.raises(InputError, match="was not made by modejax"), output(tmp_path / "a", kind, overwrite=True):
            pytest.fail("it was given")
    assert tree(tmp_path) == {f"{beside}/thesis.tex": b"mine"}


@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
@pytest.mark.parametrize(("first", "second"), [("sweep", "decompose"), ("decompose", "sweep"), ("svr", "online")])
def test_the_folder_of_another_command_is_refused(tmp_path, first, second, options):
    folder = write(tmp_path / "a", first)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=rf"another command \({first}\)"), output(folder, second, **options):
        pytest.fail("it was given")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_folder_is_replaced_only_when_told(tmp_path, kind):
    folder = write(tmp_path / "a", kind)
    with pytest.raises(InputError, match=r"is finished; pass --overwrite"), output(folder, kind):
        pytest.fail("it was given")
    assert value(folder) == 1
    with output(folder, kind, overwrite=True) as out:
        assert out.folder == folder != out.path
        (out.path / "config.json").write_text('{"value": 2}')
        assert value(folder) == 1
        out.finish()
        assert out.path == folder
    assert value(folder) == 2
    assert not (folder / "figures").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", KINDS)
def test_work_that_fails_leaves_the_earlier_result(tmp_path, kind):
    folder = write(tmp_path / "a", kind)
    with pytest.raises(RuntimeError):
        fail(folder, kind, RuntimeError, overwrite=True)
    assert value(folder) == 1
    assert (tmp_path / "a.unfinished").exists() == (kind in LONG)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", ["missing", "empty"])
def test_work_that_writes_nothing_leaves_nothing(tmp_path, kind, before):
    folder = tmp_path / "deep" / "a"
    if before == "empty":
        folder.mkdir(parents=True)
    with pytest.raises(RuntimeError), output(folder, kind):
        raise RuntimeError
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert sorted(left) == ([] if before == "missing" else ["deep", "deep/a"])


@pytest.mark.parametrize("kind", SHORT)
def test_short_work_that_fails_leaves_nothing(tmp_path, kind):
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "deep" / "a", kind, KeyboardInterrupt)
    assert not list(tmp_path.iterdir())


def interrupted(folder, kind, value=1, **options):
    with output(folder, kind, **options) as out:
        (out.path / "config.json").write_text(json.dumps({"value": value}))


@pytest.mark.parametrize("kind", LONG)
def test_long_work_is_resumed_in_its_folder(tmp_path, kind):
    folder = tmp_path / "a"
    interrupted(folder, kind)
    assert unfinished(folder, kind) == folder
    assert value(folder) == 1  # the config of unfinished work is there to be resumed with
    with pytest.raises(InputError, match="is not finished"):
        read_bytes(folder, "config.json")
    with pytest.raises(InputError, match=r"is unfinished; resume it with --resume .*, pass --overwrite"):
        write(folder, kind)
    (folder / ".config-abc12345.json").write_text("half")
    with output(folder, kind, resume=True) as out:
        assert out.resumed
        assert out.path == folder
        out.finish()
    assert value(folder) == 1
    assert sorted(tree(folder)) == [MARKER, "config.json"]
    with (
        pytest.raises(InputError, match="is finished, so there is nothing to resume"),
        output(folder, kind, resume=True),
    ):
        pytest.fail("it was given")


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("by", ["a", "a.unfinished"])
def test_long_work_over_a_result_is_resumed_beside_it(tmp_path, kind, by):
    folder = write(tmp_path / "a", kind)
    interrupted(folder, kind, 2, overwrite=True)
    assert unfinished(folder, kind) == tmp_path / "a.unfinished"
    assert (value(folder), value(tmp_path / "a.unfinished")) == (1, 2)
    with output(tmp_path / by, kind, resume=True) as out:
        assert out.folder == folder
        assert out.path == tmp_path / "a.unfinished"
        out.finish()
    assert value(folder) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_unfinished_work_is_begun_anew_when_told(tmp_path):
    folder = tmp_path / "a"
    interrupted(folder, "sweep")
    interrupted(folder, "sweep", 2, overwrite=True)
    assert (value(folder), value(tmp_path / "a.unfinished")) == (1, 2)
    assert write(folder, "sweep", 3, overwrite=True) == folder
    assert value(folder) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_cannot_be_resumed_is_refused(tmp_path):
    write(tmp_path / "a", "svr")
    with pytest.raises(InputError, match="there is nothing to resume"), output(tmp_path / "b", "sweep", resume=True):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="there is nothing to resume"), output(tmp_path / "c/d", "sweep", resume=True):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="another command"), output(tmp_path / "a", "sweep", resume=True):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="svr cannot be resumed"), output(tmp_path / "a", "svr", resume=True):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="either"), output(tmp_path / "a", "sweep", resume=True, overwrite=True):
        pytest.fail("it was given")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_was_added_to_a_result_is_not_lost(tmp_path):
    folder = write(tmp_path / "a", "sweep")
    (folder / "report.html").write_text("drawn later")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"also holds notes\.txt"):
        write(folder, "sweep", 2, overwrite=True)
    (folder / "notes.txt").unlink()
    write(folder, "sweep", 2, overwrite=True)
    assert value(folder) == 2


def test_names_that_are_no_folder_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(InputError, match=r"is a file|cannot be written"), output(folder, "svr"):
            pytest.fail("it was given")
    with pytest.raises(InputError, match="root"), output("/", "svr"):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="marks unfinished work"), output(tmp_path / "a.unfinished", "sweep"):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="cannot be written"), output("/proc/modejax/a", "svr"):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="cannot be written"), output(tmp_path / ("x" * 300), "svr"):
        pytest.fail("it was given")
    with pytest.raises(InputError, match="null character"), output("a\0b", "svr"):
        pytest.fail("it was given")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="is a file"), output(tmp_path / "loop", "svr"):
        pytest.fail("it was given")
    (tmp_path / "loop").unlink()
    with pytest.raises(InputError, match="unknown kind"), output(tmp_path / "a", "thesis"):
        pytest.fail("it was given")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(InputError, match="is the current folder"), output(".", "svr"):
        pytest.fail("it was given")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "here"]
    assert write(Path("."), "sweep") == here


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    with pytest.raises(InputError, match="cannot be written"), output(closed / "a", "svr"):
        pytest.fail("it was given")


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    write(tmp_path / "real", "svr")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "svr", 2, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert value(tmp_path / "link") == value(tmp_path / "real") == 2


@pytest.mark.parametrize("kind", ["svr", "sweep"])
def test_a_second_writer_is_refused(tmp_path, kind):
    script = f"from modejax.runs import output\nwith output({str(tmp_path / 'a')!r}, {kind!r}, overwrite=True): pass"
    with output(tmp_path / "a", kind) as out:
        (out.path / "config.json").write_text('{"value": 1}')
        with pytest.raises(InputError, match="another process is writing"):
            write(tmp_path / "a", kind, overwrite=True)
        second = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "another process is writing" in second.stderr
        out.finish()
    assert value(tmp_path / "a") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_finish_refuses_what_is_missing(tmp_path):
    folder = write(tmp_path / "a", "svr")
    with pytest.raises(InputError, match="could not be finished"), output(folder, "svr", overwrite=True) as out:
        out.finish(["config.json"])
    assert value(folder) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_all_files_of_data_are_recorded_by_default(tmp_path):
    with output(tmp_path / "study", "study") as out:
        for name in ("table.csv", "figures/a.png", "checkpoint/x", ".hidden"):
            (out.path / name).parent.mkdir(exist_ok=True)
            (out.path / name).write_text(name)
        write(out.path / "runs" / "inner", "sweep")
        out.finish()
    assert list(read_marker(tmp_path / "study").files) == ["figures/a.png", "table.csv"]
    assert value(tmp_path / "study" / "runs" / "inner") == 1


def test_numbered_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(new_folder("online")) for _ in range(2)] == ["runs/online-001", "runs/online-002"]
    assert str(new_folder("sweep", "digits-mode")) == "runs/digits-mode-001"
    assert str(new_folder("svr", "a net/../x")) == "runs/svr-a-net-..-x-001"
    write("runs/online-001", "online")
    with output(None, "online") as out:
        assert str(out.folder) == "runs/online-003"
    with pytest.raises(RuntimeError), output(None, "svr", stem="net"):
        raise RuntimeError
    assert not Path("runs/online-003").exists()
    assert not Path("runs/svr-net-001").exists()
    with pytest.raises(InputError, match="name the folder to overwrite"), output(None, "svr", overwrite=True):
        pytest.fail("it was given")


def test_numbered_names_of_processes_at_once(tmp_path):
    script = "from modejax.runs import output\nfor _ in range(20):\n with output(None, 'svr') as o:\n"
    script += "  (o.path / 'config.json').write_text('{}'); print(o.finish())"
    workers = [
        subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    names = [name for worker in workers for name in worker.communicate(timeout=60)[0].split()]
    assert sorted(names) == [f"runs/svr-{number:03d}" for number in range(1, 61)]


def test_a_number_that_was_not_used_goes_at_the_end_of_the_process(tmp_path):
    script = "from modejax.runs import new_folder\nprint(new_folder('svr').is_dir())"
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"
    assert not list(tmp_path.iterdir())


def test_a_kill_between_the_renames_is_made_good_by_the_next_reader(tmp_path):
    folder = write(tmp_path / "a", "svr")
    names = names_of(folder)
    folder.rename(names.old)
    assert value(folder) == 1  # no new result: the earlier one comes back
    assert not names.old.exists()
    folder.rename(names.old)
    write(tmp_path / "b", "svr", 2)
    (tmp_path / "b").rename(names.new)
    assert value(folder) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_results_of_two_commands_are_not_exchanged(tmp_path):
    folder = write(tmp_path / "a", "svr")
    write(tmp_path / "b", "online").rename(names_of(folder).new)
    with pytest.raises(InputError, match=r"output of another command \(online\)"):
        write(folder, "svr", 2, overwrite=True)
    assert value(folder) == 1
    assert value(names_of(folder).new) == 1


def test_a_malformed_marker_is_refused_and_nothing_changed(tmp_path):
    folder = write(tmp_path / "a", "svr")
    (folder / MARKER).write_text("{}")
    before = tree(folder)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="malformed"), output(folder, "svr", overwrite=overwrite):
            pytest.fail("it was given")
    assert tree(folder) == before


def test_a_disk_that_is_full_leaves_the_earlier_result(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", "svr")

    def full(folder: Path, marker: Marker) -> None:
        if marker.state == "finished":
            raise OSError(28, "No space left on device")
        save_marker(folder, marker)

    monkeypatch.setattr("modejax.runs.folder.save_marker", full)
    with pytest.raises(InputError, match="No space left on device"):
        write(folder, "svr", 2, overwrite=True)
    assert value(folder) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
