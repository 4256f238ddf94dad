"""The command line: what it prints, what it writes, and how it refuses."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from modejax import load_dataset, open_run
from modejax.cli import main
from modejax.cli.table import bytes_text, count_text

TINY = ["--widths", "8", "--modes", "2", "3", "--seeds", "2", "--epochs", "2", "--buckets", "one"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEJAX_DATA_DIR", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def refused(capsys, *words: str) -> str:
    """Run a command that must end with exit code 2 and leave nothing behind; return what it said."""
    before = sorted(Path().rglob("*"))
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert sorted(Path().rglob("*")) == before
    printed = capsys.readouterr()
    return " ".join((printed.err + printed.out).split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "digit"], "digits"),
        (["--dataset", "mnist"], "modejax data prepare mnist"),
        (["--dataset", "nothing.npz"], "nothing.npz"),
        (["--layer", "modes"], "modes"),
        (["--layer", "dense", "--modes", "3"], "the layer dense has no modes"),
        (["--layer", "spectral", "--modes", "3"], "the layer spectral has no modes"),
        (["--layer", "spectral", "--layer-options", "variant=qr"], "unknown variant 'qr' of a spectral layer; allowed"),
        (["--layer", "spectral", "--layer-options", "eigenvalues=frozen"], "nothing to train"),
        (["--layer", "spectral", "--layer-options", "varant=svd"], "unknown option 'varant' of the layer spectral"),
        (["--depth", "0", "--widths", "3"], "depth 0 has no hidden layers"),
        (["--layer-options", "gauge=unit"], "unknown gauge 'unit'"),
        (["--layer-options", "gage=plain"], "unknown option 'gage' of the layer mode; allowed: gauge"),
        (["--wdiths", "3"], "--wdiths"),
        (["--widths", "0"], "widths must be an integer of at least 1, got 0"),
        (["--widths", "-5"], "widths"),
        (["--widths", "ten"], "ten"),
        (["--widths", "1.5"], "1.5"),
        (["--widths"], "widths is empty"),
        (["--modes", "0"], "modes must be an integer of at least 1, got 0"),
        (
            ["--modes", "400000", "--widths", "8", "--buckets", "one", "--memory-limit", "1GB"],
            "launch(es), the limit is",
        ),
        (["--learning-rates", "0"], "learning_rates must be finite numbers greater than 0, got 0.0"),
        (["--learning-rates", "nan"], "got nan"),
        (["--learning-rates", "-1"], "learning"),
        (["--batch-size", "1439"], "batch_size 1439 is larger than the 1438 training examples of digits"),
        (["--seeds", "0"], "seeds"),
        (["--resume", "nowhere"], "nowhere is not a sweep of modejax, so there is nothing to resume"),
        (["--optimiser", "sdg"], "unknown optimiser 'sdg'; allowed"),
        (["--momentum", "0.9"], "momentum belongs to sgd"),
        (["--arm", "other layers=dense"], "the arm 'other' names the field 'layers'; allowed"),
        (["--arm", "mode epochs=3"], "names the field 'epochs'"),
        (["nothing.toml"], "nothing.toml cannot be read"),
        (["--activation", "swish"], "swish"),
    ],
)
@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_what_is_not_allowed_is_named_and_nothing_is_written(capsys, command, words, message):
    if command == "plan" and "--resume" in words:
        words, message = ["--out", "x"], "--out"
    assert message in refused(capsys, command, *words)


def save(path: Path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.random((30, 4)),
        "y_train": np.arange(30) % 3,
        "x_test": rng.random((9, 4)),
        "y_test": np.arange(9) % 3,
    }
    arrays.update(changes)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.full(30, -2)}, "-2"),
        ({"y_test": np.arange(9) + 5}, "the labels are 0, 1, 2, 5"),
        ({"y_train": np.arange(29) % 3}, "29"),
        ({"x_train": np.full((30, 4), np.nan)}, "x_train"),
        ({"x_test": np.zeros((0, 4)), "y_test": np.zeros(0, int)}, "x_test"),
        ({"x_test": np.zeros((9, 5))}, "5"),
        ({"y_test": None}, "y_test"),
        ({"y_train": np.array([object()] * 30)}, "pickle"),
    ],
)
def test_a_users_file_is_checked(capsys, changes, message):
    save(Path("own.npz"), **changes)
    assert message in refused(capsys, "sweep", "--dataset", "own.npz", "--batch-size", "10")


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_warning_is_a_line_of_its_own(capsys, here):
    x = np.arange(0, 252.0, 21).reshape(6, 2)
    np.savez("large.npz", x_train=x, y_train=np.arange(6) % 2, x_test=x, y_test=np.arange(6) % 2)
    assert main(["plan", "--dataset", "large.npz", "--widths", "4", "--modes", "2", "--batch-size", "2"]) == 0
    assert capsys.readouterr().err.startswith("warning: the features go from 0 to 231 (root mean square")


def test_output_folder_that_is_not_a_run(capsys, here):
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.tex").write_text("mine")
    assert "was not made by modejax" in refused(capsys, "sweep", *TINY, "--out", "thesis")


def test_sweep_writes_a_run_and_says_what_next(capsys):
    assert main(["sweep", *TINY]) == 0
    printed = capsys.readouterr()
    assert "2 modes" in printed.out
    assert "dense" in printed.out
    assert "next:" in printed.out
    folder = Path("runs/digits-mode-001")
    for name in ("config.json", "result.nc", "table.csv", "members.json", "networks.safetensors", "report.html"):
        assert (folder / name).is_file()
        assert name in printed.out
    assert len(list((folder / "figures").glob("*.png"))) >= 4
    result = open_run(folder).first
    mean = 100 * result.test_accuracy.isel(epoch=-1).sel(modes=3).mean().item()
    assert f"{mean:.1f} +-" in printed.out
    answer = " ".join(printed.out.split())
    assert "least modes within 1 point of dense: " in answer
    assert " at width 8" in answer

    assert main(["show", str(folder)]) == 0
    assert f"{mean:.1f} +-" in capsys.readouterr().out
    assert main(["show", str(folder), "--quiet", "--formats", "pdf", "svg", "--figure-data"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    for kind in ("png", "pdf", "svg", "csv"):
        assert (folder / "figures" / f"accuracy.{kind}").is_file()
    assert main(["show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["next"].startswith("modejax sweep --widths 8 ")
    assert shown["table"][0]["width"] == 8
    (few,) = shown["least_modes"]
    assert (few["definition"], few["seeds"], few["widths"][0]["width"]) == ("dense", 2, 8)


@pytest.mark.slow
def test_runs_are_shown_together_and_replaced_only_when_told_so(capsys):
    assert main(["sweep", *TINY]) == 0
    capsys.readouterr()
    folder = Path("runs/digits-mode-001")
    result = open_run(folder).first
    mean = 100 * result.test_accuracy.isel(epoch=-1).sel(modes=3).mean().item()
    # A second run without --out does not touch the first; the same numbers come out of a file.
    Path("same.toml").write_text('widths = [8]\nmodes = [2, 3]\nseeds = 2\nepochs = 2\nbuckets = "one"\n')
    assert main(["sweep", "same.toml", "--json", "--no-progress"]) == 0
    json.loads(capsys.readouterr().out)
    np.testing.assert_array_equal(open_run("runs/digits-mode-002").first.test_accuracy, result.test_accuracy)

    runs = ["runs/digits-mode-001", "runs/digits-mode-002"]
    assert main(["show", *runs]) == 0
    printed = capsys.readouterr().out
    assert printed.count(f"{mean:.1f} +-") == 2
    assert "the runs have the same settings" in printed
    assert main(["show", *runs, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["runs"] == runs
    at = next(row for row in shown["table"] if (row["arm"], row["modes"]) == ("mode", 3))
    assert [each["mean"] for each in at["runs"]] == pytest.approx([mean, mean])

    # What is finished is replaced only when told so, and not resumed.
    before = (folder / "result.nc").read_bytes()
    assert "pass --overwrite to replace it" in refused(capsys, "sweep", *TINY, "--out", str(folder))
    assert "is finished, so there is nothing to resume" in refused(capsys, "sweep", "--resume", str(folder))
    assert (folder / "result.nc").read_bytes() == before
    words = ["--seeds", "1", "--baseline", "none", "--epochs", "1", "--modes", "2", "--widths", "8"]
    assert main(["sweep", *words, "--out", str(folder), "--overwrite", "--json"]) == 0
    capsys.readouterr()
    assert open_run(folder).first.sizes["seed"] == 1
    assert main(["show", *runs]) == 0
    printed = capsys.readouterr().out
    assert f"epochs: {runs[0]} 1; {runs[1]} 2" in printed


def test_show_of_what_is_no_run(capsys, here):
    assert "nowhere does not exist" in refused(capsys, "show", "nowhere")
    assert "show needs the folder of a run" in refused(capsys, "show")


@pytest.mark.slow
def test_a_quiet_sweep_prints_its_folder_alone(capsys):
    assert main(["sweep", *TINY, "--quiet", "--out", "run"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("run\n", "")
    assert (Path("run") / "report.html").is_file()
    assert "show --quiet takes one run, got 2" in refused(capsys, "show", "run", "run", "--quiet")
    assert "show --formats takes one run, got 2" in refused(capsys, "show", "run", "run", "--formats", "pdf")


@pytest.mark.slow
def test_real_values_are_shown_by_their_loss(capsys, here):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    save(here / "real.npz", x_train=x[:40], y_train=x[:40] @ [1, 2, 3], x_test=x[40:], y_test=x[40:] @ [1, 2, 3])
    assert main(["sweep", *TINY, "--dataset", "real.npz", "--batch-size", "10", "--no-progress"]) == 0
    printed = capsys.readouterr().out
    assert "mode: test loss, mean" in printed
    assert "accuracy in percent" not in printed
    assert "diverged" not in printed
    folder = Path("runs/real-mode-001")
    assert f"{float(open_run(folder).first.test_loss.isel(epoch=-1).sel(modes=2).mean()):.3g} +-" in printed
    assert "accuracy" not in (folder / "report.html").read_text().split("<summary>Config")[0].split("base64,")[0]


def test_plan_prints_members_and_costs(capsys):
    assert main(["plan", *TINY, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["networks"] == {"mode": 4, "baseline": 2}
    assert facts["useful_flops"] <= facts["padded_flops"]
    assert main(["plan", *TINY]) == 0
    assert "FLOP useful" in capsys.readouterr().out


def test_layers_without_modes_need_no_word_about_them(capsys):
    for layer in ("dense", "spectral", "svd"):
        assert main(["plan", "--layer", layer, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["networks"] == {layer: 9, "baseline": 9}


@pytest.mark.slow
def test_a_spectral_sweep_names_its_variant(capsys):
    words = ["--layer", "spectral", "--layer-options", "variant=qr_triangular", "--optimiser", "adamax"]
    assert main(["sweep", *words, "--depth", "0", "--seeds", "2", "--epochs", "2", "--no-progress"]) == 0
    assert "spectral qr triangular" in capsys.readouterr().out
    run = open_run("runs/digits-spectral-001")
    result = run.first
    assert result.test_accuracy.sizes == {
        "width": 1, "modes": 1, "seed": 2, "learning_rate": 1, "weight_decay": 1, "epoch": 2
    }  # fmt: skip
    # 64 inputs, 10 outputs, rank 10, and their triangle; biases.
    assert result.num_parameters.values.tolist() == [[64 + 10 + 10 + 55]]
    assert run["baseline"].num_parameters.values.tolist() == [[640]]
    assert "truncation_accuracy" not in result
    dataset = load_dataset("digits")
    for trained, accuracy in zip(run.networks(), result.test_accuracy.isel(epoch=-1).values.ravel(), strict=True):
        np.testing.assert_allclose(np.mean(trained.classify(dataset.x_test) == dataset.y_test), accuracy, atol=1e-6)


def test_data_commands(capsys):
    assert main(["data", "list"]) == 0
    assert "gaussian_mixture" in capsys.readouterr().out
    assert main(["data", "info", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train_examples"] == 1438
    assert main(["data", "info", "digits"]) == 0
    assert "train examples" in capsys.readouterr().out
    assert "digits" in refused(capsys, "data", "info", "digitz")
    assert "mnist" in refused(capsys, "data", "prepare", "imagenet")


@pytest.mark.slow
def test_interrupt_stops_after_a_chunk_and_can_be_resumed(here):
    command = [sys.executable, "-c", "import sys; from modejax.cli import main; sys.exit(main())", "sweep"]
    options = ["--widths", "8", "--modes", "2", "--seeds", "1", "--epochs", "400", "--truncate-every", "1"]
    process = subprocess.Popen(
        [*command, *options, "--baseline", "none", "--out", "run", "--no-progress"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    until = time.monotonic() + 120
    while not list(Path("run/checkpoint").glob("launch-*/epoch-*")) and time.monotonic() < until:
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "modejax sweep --resume run" in errors
    assert not Path("run/result.nc").exists()
    assert list(Path("run/checkpoint").glob("launch-*/epoch-*"))


def test_help_starts_without_jax():
    script = """
import sys
import modejax.cli
try:
    modejax.cli.main(["--help"])
except SystemExit as stop:
    assert stop.code == 0
sys.exit(any(name in sys.modules for name in ("jax", "xarray", "matplotlib", "tensorflow_datasets")))
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, modejax; sys.exit(any(name in sys.modules for name in ('jax', 'xarray', 'flax', 'optax')))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_sizes_as_people_read_them():
    assert [count_text(n) for n in (5, 999, 1000, 23_940, 1.5e12)] == ["5", "999", "1.0 k", "23.9 k", "1.5 T"]
    assert [bytes_text(n) for n in (0, 100, 2**20, 5 * 2**30)] == ["0.0 B", "100.0 B", "1.0 MiB", "5.0 GiB"]


def test_the_package_is_a_command():
    done = subprocess.run([sys.executable, "-m", "modejax", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("modejax ")
