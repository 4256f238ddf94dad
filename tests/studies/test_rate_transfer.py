"""The study of learning rates against width: its sweep, its verdicts, its page."""

import numpy as np
import pytest

from modejax.modes import best_rates
from modejax.studies import rate_transfer
from modejax.studies.rate_transfer import KINDS, Measured, run, sweep, verdict
from modejax.studies.rate_transfer_report import cost_of_transfer

RATES, WIDTHS = 0.01 * 2.0 ** np.arange(7), np.array([16.0, 64.0, 256.0])


def found(power, noise=0.0, seeds=1):
    best = 0.08 * (WIDTHS / 64) ** power
    error = np.exp(0.1 * np.log(RATES / best[:, None]) ** 2)
    return best_rates(RATES, WIDTHS, error * np.exp(noise * np.random.default_rng(0).normal(size=(seeds, 3, 7))))


def test_verdicts():
    assert verdict(found(0.05)) == "carries over: times 1.15"
    assert verdict(found(-0.5)) == "moves: times 0.25"
    assert verdict(found(2.0)).startswith("not decided: at width 16, 256 the best rate is the first or last one tried")
    assert verdict(found(-0.3, 0.01, 5)).startswith("moves: times 0.4")
    assert verdict(found(-0.3, 0.01, 5)).endswith("]")


def test_the_arms_are_the_kinds():
    for quick in (True, False):
        config = sweep(quick, 2)
        assert [arm.name for arm in config.all_arms] == [kind.arm for kind in KINDS]
        assert [arm.schedule for arm in config.all_arms] == [kind.schedule for kind in KINDS]
        assert [arm.layer_options for arm in config.all_arms] == [kind.options for kind in KINDS]
    for kind in KINDS:
        assert max(kind.widths) >= 32 * min(kind.widths)


def test_the_cost_counts_what_diverged_as_wrong():
    error = np.array([[[0.1, 0.2], [np.nan, 0.25]]])
    assert cost_of_transfer(Measured(np.array([0.1, 0.2]), np.array([8.0, 16.0]), error, error)) == 75.0


@pytest.mark.slow
def test_a_run_writes_what_it_measured(tmp_path, monkeypatch):
    chosen = tuple(kind for kind in KINDS if kind.name in ("mode, plain", "mode, width-free", "dense, plain"))
    monkeypatch.setattr(rate_transfer, "KINDS", chosen)
    folder = run(tmp_path / "study", quick=True, seeds=2, report=lambda text: None)
    page = (folder / "results.md").read_text()
    for kind in chosen:
        assert page.count(f"| {kind.name} |") == 3
    assert "2 seeds, so that intervals are rough" in page
    assert sorted(file.name for file in (folder / "figures").iterdir()) == ["best-rates.png", "updates.png"]
    lines = (folder / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 4 * 5 * 2
