import ast
from pathlib import Path

import pytest

import modejax.data
from modejax.data import dataset_names, list_datasets, load_dataset
from modejax.errors import InputError


def test_names_and_list_agree(tmp_path: Path):
    entries = list_datasets(tmp_path)
    assert tuple(entry.name for entry in entries) == dataset_names()
    assert [entry.name for entry in entries if entry.available] == ["digits", "gaussian_mixture"]
    assert all(entry.description for entry in entries)
    assert entries[2].where == f"not in {tmp_path}"


def test_the_list_shows_sets_that_need_tensorflow(tmp_path: Path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text('{"fileFormat": "tfrecord"}')
    entry = list_datasets(tmp_path)[2]
    assert (entry.name, entry.available) == ("mnist", False)
    assert entry.where == f"{folder} (not array_record: needs TensorFlow)"


def test_every_available_set_loads(tmp_path: Path):
    for entry in list_datasets(tmp_path):
        if entry.available:
            data = load_dataset(entry.name)
            assert data.name == entry.name
            assert entry.description.endswith(f"{len(data.x_train):,} + {len(data.x_test):,}")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit", r"Did you mean 'digits'\?"),
        ("MNIST", r"Did you mean 'mnist'\?"),
        ("fashion-mnist", r"Did you mean 'fashion_mnist'\?"),
        ("cifar-10", r"Did you mean 'cifar10'\?"),
        ("xyz", r"`modejax data list` shows them\."),
        ("data.csv", r"`modejax data list` shows them\."),
        ("", r"`modejax data list` shows them\."),
    ],
)
def test_unknown_names(name: str, hint: str):
    allowed = "cifar10, digits, fashion_mnist, gaussian_mixture, mnist"
    with pytest.raises(
        InputError, match=rf"no data set '{name}'; allowed: {allowed}, or a path that ends in \.npz\."
    ) as error:
        load_dataset(name)
    assert error.match(hint)


def test_importing_the_package_imports_nothing_slow():
    """Modules may import only the standard library, NumPy, jaxtyping, platformdirs and modejax at their top."""
    slow = {"jax", "jaxlib", "flax", "optax", "sklearn", "scipy", "tensorflow_datasets", "tensorflow", "PIL", "pandas"}
    files = sorted(Path(modejax.data.__path__[0]).glob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & slow, file.name


def test_jax_is_not_used_at_all():
    for file in Path(modejax.data.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {name.split(".")[0] for name in names} & {"jax", "jaxlib", "flax", "optax"}, file.name
