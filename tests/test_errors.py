"""Errors that say what to do."""

import pytest

from modejax.errors import InputError, NeedsExtra


def test_a_package_that_is_missing_names_its_extra():
    with pytest.raises(InputError, match=r"pip install 'modejax\[svr\]'"), NeedsExtra("svr"):
        import no_such_package  # noqa: F401  # pyright: ignore[reportMissingImports]


def test_other_errors_and_packages_that_are_there_pass():
    with NeedsExtra("svr"):
        import json
    assert json.dumps(1) == "1"
    with pytest.raises(ZeroDivisionError), NeedsExtra("svr"):
        _ = 1 / 0
