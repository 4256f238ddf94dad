"""A teacher of the user's own: read, refused, and learnt from."""

import jax
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.online import SweepOptions, draw_from, grid, log_times, read_teacher, run_members, sizes_of
from modejax.online.sweep import start_of


def arrays(d=12, units=3, modes=2, **changes):
    rng = np.random.default_rng(0)
    made = {
        "xi": rng.normal(size=(units, modes)),
        "sigma": rng.normal(size=modes),
        "teacher": rng.normal(size=(modes, d)),
        "student": rng.normal(size=(modes, d)),
        **changes,
    }
    return {name: each for name, each in made.items() if each is not None}


def save(path, **given):
    np.savez(path, **given)  # pyright: ignore
    return path


def test_a_file_is_read_as_it_was_written(tmp_path):
    given = arrays()
    start, digest = read_teacher(save(tmp_path / "a.npz", **given))
    assert sizes_of(start) == (12, 3, 2)
    found = {"xi": start.modes.xi, "sigma": start.modes.sigma, "teacher": start.teacher, "student": start.student}
    for name, each in found.items():
        assert each.dtype == np.float64
        np.testing.assert_array_equal(each, given[name])
    assert len(digest) == 64
    assert digest == read_teacher(tmp_path / "a.npz")[1]


def test_numbers_of_other_types_become_float64():
    start = draw_from(arrays(sigma=np.asarray([1, 2]), teacher=np.ones((2, 12), np.float32)))
    assert (start.modes.sigma.dtype, start.teacher.dtype) == (np.float64, np.float64)


def test_without_student_the_start_is_that_of_seed_0():
    start = draw_from(arrays(student=None))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(start.student, start_of(sizes_of(start), 0, 0).student)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xi": None, "sigma": None}, r"lacks xi, sigma; allowed: xi, sigma, teacher and, optional, student\. Make"),
        ({"W": np.ones(2)}, "holds W, which is not known; allowed: xi"),
        ({"xi": np.ones((2, 3))}, r"shapes xi \(2, 3\), sigma \(2,\).*allowed: xi \(K, p\).*Transpose"),
        ({"student": np.ones((2, 11))}, r"student \(2, 11\)"),
        ({"sigma": np.ones((2, 1))}, r"sigma \(2, 1\)"),
        ({"teacher": np.ones((0, 12))}, r"teacher \(0, 12\)"),
        ({"sigma": np.asarray([1.0, np.nan])}, "sigma holds 1 numbers that are not finite; allowed: finite"),
        ({"xi": np.ones((3, 2), np.complex128)}, "xi has the type complex128; allowed: real"),
        ({"xi": np.full((3, 2), "a")}, "xi has the type <U1; allowed: real"),
        ({"sigma": np.zeros(2)}, "zero norm"),
        (
            {"xi": np.ones((3, 9)), "sigma": np.ones(9), "teacher": np.ones((9, 4)), "student": None},
            "modes=9 is more than d=4",
        ),
    ],
)
def test_what_is_no_teacher_is_refused(tmp_path, changes, message):
    path = save(tmp_path / "a.npz", **arrays(**changes))
    with pytest.raises(InputError, match=message):
        read_teacher(path)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no")
    np.save(tmp_path / "one.npy", np.ones(3))
    objects = save(tmp_path / "objects.npz", xi=np.asarray([{}], object))
    for path in (tmp_path / "none.npz", tmp_path, tmp_path / "text.npz", tmp_path / "one.npy", objects):
        with pytest.raises(
            InputError, match=r"cannot be read as an \.npz file of numbers .*Make the file with np\.savez"
        ):
            read_teacher(path)


def test_members_of_another_size_are_refused():
    start = draw_from(arrays())
    with pytest.raises(InputError, match=r"\[\(12, 3, 1\)\]; allowed: the same d"):
        run_members(grid(d=(12,), units=(3,), modes=(1,), eta=(1.0,)), [0.0, 1.0], start=start)
    with pytest.raises(InputError, match="start must be float64"):
        run_members(
            grid(d=(12,), units=(3,), modes=(2,), eta=(1.0,)),
            [0.0, 1.0],
            start=jax.tree.map(lambda x: x.astype(np.float32), start),
        )


@pytest.mark.slow
def test_a_drawn_teacher_given_by_hand_learns_as_the_drawn_one():
    members = grid(d=(20,), units=(3,), modes=(2,), eta=(2.0,), teacher=(4,), noise=range(2))
    times, options = log_times(0.5, 4.0, 3), SweepOptions(simulation=True)
    drawn = run_members(members, times, options)
    with jax.enable_x64(True):
        start = start_of(sizes_of(draw_from(arrays(d=20, units=3, modes=2))), 4, 4)
    given = run_members(members, times, options, start=start)
    for one, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_theory_describes_a_teacher_of_the_user():
    # One run deviates by about 1 / sqrt d; the mean of 6 runs at d = 200 stays within 5 percent.
    start = draw_from(arrays(d=200, units=3, modes=2, sigma=np.asarray([1.2, 1.0]), student=None))
    members = grid(d=(200,), units=(3,), modes=(2,), eta=(6.0,), noise=range(6))
    result = run_members(members, log_times(0.5, 40.0, 8), SweepOptions(simulation=True), start=start)
    assert result.theory is not None
    assert result.simulation is not None
    theory, runs = np.asarray(result.theory.error)[0], np.asarray(result.simulation.error)
    assert theory[-1] < 0.1 * theory[0]
    np.testing.assert_allclose(runs.mean(axis=0), theory, rtol=0.05)
