"""Reports, the grid of fits, the command and the studies' small pieces."""

import csv
import json

import jax
import numpy as np
import pytest
from random_params import random_params

from modejax import layers, mlp, networks
from modejax.cli import main
from modejax.errors import InputError
from modejax.interpolation import (
    FIELDS,
    affine_maps,
    build_hinge,
    data_report,
    fit_grid,
    hidden_units,
    interp_matrix,
    layer_report,
    layer_reports,
    loss_split,
    one_hot,
    outputs,
    rho,
    sign_classes,
)
from modejax.studies import STUDIES, find_study

X, y = sign_classes(60, 6, 0)
H = one_hot(y, 4)


@pytest.fixture(scope="module")
def trained():
    drawn = [sign_classes(60, 6, seed) for seed in range(2)]
    points, targets = np.stack([x for x, _ in drawn]), np.stack([one_hot(label, 4) for _, label in drawn])
    return points, targets, fit_grid(points, targets, (24, 48), (0, 2), depth=3, steps=2000)


@pytest.mark.slow
def test_the_grid_equals_networks_trained_alone(trained):
    points, targets, fits = trained
    alone = fit_grid(points[:1], targets[:1], (24,), (2,), depth=3, steps=2000).members[0]
    other = next(m for m in fits.members if (m.width, m.modes, m.seed) == (24, 2, 0))
    for a, b in zip(jax.tree.leaves(alone.start), jax.tree.leaves(other.start), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    out = outputs(other.network, other.params, points[0])
    assert float(((out - targets[0]) ** 2).mean()) == pytest.approx(other.mse, rel=1e-3, abs=1e-9)


@pytest.mark.slow
def test_a_trained_deep_network_fits_with_a_rank_deficient_last_layer(trained):
    points, targets, fits = trained
    dense = [m for m in fits.members if m.modes == 0 and m.width == 48]
    for m in dense:
        records = layer_report((m.network, m.params), points[m.seed], targets[m.seed], start=m.start)
        assert records[-1]["class"] == "L"
        assert records[-1]["rank_1e-10"] < 60
        assert records[-1]["rho"] < 1e-3
        assert all(record["tau"] <= record["rank_1e-10"] <= record["sprank"] for record in records)
        assert 0 < records[0]["flips"] < 0.5
        assert records[0]["move"] > 0
        assert tuple(records[0]) == FIELDS


@pytest.fixture(scope="module")
def begun():
    return X[None], H[None], fit_grid(X[None], H[None], (12,), (0, 2), depth=1, steps=20)


@pytest.mark.parametrize("fitted", ["begun", pytest.param("trained", marks=pytest.mark.slow)])
def test_the_loss_splits_exactly(request, fitted):
    points, targets, fits = request.getfixturevalue(fitted)
    for m in fits.members:
        layers_, out = hidden_units(m.network, m.params, points[m.seed])
        loss = loss_split(layers_[-1].Phi, targets[m.seed], out)
        total = ((targets[m.seed] - out) ** 2).sum()
        assert loss.features + loss.readout == pytest.approx(total, rel=1e-8, abs=1e-12)
        record = layer_report((m.network, m.params), points[m.seed], targets[m.seed])[-1]
        assert (record["loss_feat"], record["loss_readout"]) == (
            pytest.approx(loss.features, rel=1e-6, abs=1e-12),
            pytest.approx(loss.readout, rel=1e-6, abs=1e-12),
        )


@pytest.mark.slow
def test_reports_in_a_batch_equal_reports_alone(trained):
    points, targets, fits = trained
    members = [(m.network, m.params) for m in fits.members]
    many = layer_reports(members, [points[m.seed] for m in fits.members], [targets[m.seed] for m in fits.members])
    for m, records in zip(fits.members, many, strict=True):
        alone = layer_report((m.network, m.params), points[m.seed], targets[m.seed])
        for a, b in zip(records, alone, strict=True):
            for field in FIELDS:
                assert a[field] == b[field] or a[field] == pytest.approx(b[field], rel=1e-6, nan_ok=True)


def test_a_record_equals_its_definitions():
    network = mlp([6, 30, 4], layers.Biased(layers.Mode()), 3)
    params = random_params(network)
    record = layer_report((network, params), X, H)[0]
    W, b = affine_maps(network, params)[0]
    Z = X @ W + b
    Phi, A = np.maximum(Z, 0), Z > 0
    assert record["alpha"] == pytest.approx(A.mean())
    assert record["dead_units"] == (~A).all(axis=0).sum()
    assert record["dead_rows"] == (~A).all(axis=1).sum()
    assert record["rows_A"] == len(np.unique(A, axis=0))
    assert record["margin"] == pytest.approx(np.abs(Z).min())
    assert record["rho"] == pytest.approx(rho(interp_matrix(Phi), H))
    energy = np.stack([(Phi[y == k] ** 2).sum(axis=0) for k in range(4)])
    assert record["beta"] == pytest.approx(1 - energy.max(axis=0).sum() / energy.sum())


def test_many_points_are_subsampled():
    network = mlp([6, 8, 4], layers.Dense())
    record = layer_report((network, random_params(network)), X, H, limit=20)[0]
    assert record["n"] == 20


def test_data_are_reported_and_conflicts_counted():
    found = data_report(X, H, y)
    assert (found["n"], found["d"], found["distinct"], found["affine_rank"]) == (60, 6, 60, 6)
    double = data_report(np.vstack([X, X[0]]), np.append(np.arange(60.0), 5.0))
    assert double["distinct"] == 60
    assert double["duplicate_floor"] == pytest.approx(5 / 2**0.5)


def test_other_networks_are_refused():
    for network, words in (
        (mlp([6, 8, 4], layers.Dense(), None, "tanh"), "not ReLU"),
        (mlp([6, 4], layers.Dense()), "no hidden layer"),
        (mlp([5, 8, 4], layers.Dense()), "6 columns and the network 5"),
        (networks.residual([6, 8, 8, 4], layers.Dense()), "without skips"),
        (networks.conv((2, 3, 1), (5,), 4, layers.DenseConv((3, 3)), layers.Dense()), "no chain of matrices"),
    ):
        params = random_params(network)
        with pytest.raises(InputError, match=words):
            layer_report((network, params), X, H)
    with pytest.raises(InputError, match="not finite"):
        layer_report(build_hinge(X, H), np.full((3, 6), np.nan), H[:3])
    with pytest.raises(InputError, match="widths"):
        fit_grid(X[None], H[None], (0,), (1,))
    with pytest.raises(InputError, match="at least 4"):
        sign_classes(10, 3, 0)


def test_the_command_reads_a_file(tmp_path, capsys):
    network, params = build_hinge(X, H)
    maps = affine_maps(network, params)
    arrays = {f"{name}{i + 1}": value for i, pair in enumerate(maps) for name, value in zip("Wb", pair, strict=True)}
    np.savez(tmp_path / "net.npz", X=X, y=y, **arrays)  # pyright: ignore[reportArgumentType]
    assert main(["interpolate", str(tmp_path / "net.npz"), "--out", str(tmp_path / "o")]) == 0
    printed = capsys.readouterr().out
    assert "duplicate_floor 0" in printed
    assert "wrote" in printed
    with (tmp_path / "o" / "layers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["rank_1e-10"]) for row in rows] == [("T", "60")]
    assert sorted(path.name for path in (tmp_path / "o" / "figures").iterdir()) == ["matrices.png", "profile.png"]
    again = ["interpolate", str(tmp_path / "net.npz"), "--out", str(tmp_path / "o")]
    assert main(again) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0
    np.savez(tmp_path / "data.npz", X=X, y=y)
    assert main(["interpolate", str(tmp_path / "data.npz")]) == 0
    assert "nothing was written" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_reads_a_run(tmp_path, capsys, monkeypatch):
    from modejax import SweepConfig, run_sweep

    config = SweepConfig(widths=(8, 12), modes=(2,), seeds=2, epochs=1, baseline="none")
    run_sweep(config, out=tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert main(["interpolate", "run", "--points", "100"]) == 0
    head = next(line for line in capsys.readouterr().out.splitlines() if "rank_1e-03" in line)
    assert head.split()[:4] == ["width", "seeds", "layer", "m"]  # what does not vary has no column
    assert main(["interpolate", "run", "--out", "run/inside"]) == 2
    assert "or into it" in capsys.readouterr().err
    with (tmp_path / "runs" / "interpolate-run-001" / "layers.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [(row["width"], row["seed"], row["layer"], row["n"]) for row in rows]
    assert found == [(width, seed, layer, "100") for width in ("8", "12") for seed in "01" for layer in "12"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": X}, "holds X; allowed"),
        ({"X": X, "y": y, "V": X}, "allowed: X, Y or y"),
        ({"X": X, "y": y, "W1": np.eye(5)}, "W1 has shape"),
        ({"X": X, "y": y, "W1": np.eye(6)}, "no hidden layer"),
        ({"X": X, "y": y, "W2": np.eye(6)}, "without a gap"),
        ({"X": X, "y": y - 1}, "integers 0..K-1"),
        ({"X": np.full_like(X, np.nan), "y": y, "W1": np.eye(6), "W2": np.eye(6)}, "not finite"),
    ],
)
def test_files_that_are_refused(tmp_path, capsys, monkeypatch, arrays, words):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "a.npz", **arrays)
    assert main(["interpolate", str(tmp_path / "a.npz")]) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_missing_sources_are_refused(tmp_path, capsys):
    assert main(["interpolate", str(tmp_path / "no.npz")]) == 2
    assert main(["interpolate", str(tmp_path)]) == 2
    assert "was not made by modejax" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith("interp-")])
def test_studies_refuse_one_seed_and_files(tmp_path, name):
    with pytest.raises(InputError, match="at least 2, since error bars need them"):
        find_study(name)(tmp_path / "o", quick=True, seeds=1)
    (tmp_path / "f").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        find_study(name)(tmp_path / "f", quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith("interp-")])
def test_quick_studies_run(tmp_path, name):
    """Run with `pytest -m slow tests/interpolation`."""
    folder = find_study(name)(tmp_path, quick=True, seeds=2)
    assert json.loads((folder / "config.json").read_text())["seeds"] == 2
    assert (folder / "results.md").read_text().startswith("# ")
    assert len((folder / "table.csv").read_text().splitlines()) > 5
    assert list((folder / "figures").glob("*.png"))
