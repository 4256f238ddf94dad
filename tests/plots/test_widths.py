"""The figure of a check of widths."""

from typing import Any

import numpy as np
import pytest

from modejax.errors import InputError
from modejax.plots import plot_width_check, save_width_check
from modejax.training import WidthCheck


def record():
    sizes = np.array([4.0, 16.0, 64.0])[:, None] ** np.array([0.5, 0.0])
    both = np.tile(sizes[None, :, None], (2, 1, 3, 1)) * np.array([1.0, 2.0])[:, None, None, None]
    return WidthCheck(np.array([4, 16, 64]), ("map1", "map2"), 0.1, both, both)


@pytest.mark.parametrize(("what", "pale"), [("size", "start"), ("update", "step 1")])
def test_lines_are_means_and_labels_have_powers(what, pale):
    ax: Any = plot_width_check(record(), what=what)
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["map1, N^0.50", "map2, N^0.00"]
    np.testing.assert_allclose(handles[0].lines[0].get_ydata(), 1.5 * np.array([2.0, 4.0, 8.0]))
    assert pale in ax.get_legend().get_title().get_text()


def test_a_picture_that_cannot_be_written_is_told(tmp_path):
    assert save_width_check(tmp_path / "new" / "a.png", record()).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        save_width_check(tmp_path / "file" / "a.png", record())
