"""Collect what `benchmarks.gpu` needs on a machine without a network: a few wheels, and the data as one file.

Run with `uv run python -m benchmarks.carry`; it fills the folder carry, which git ignores, and prints the command for
the other machine. That one has JAX with its plugin and the packages of a usual CUDA image (flax, optax, diffrax,
xarray, pandas, matplotlib, scikit-learn ...); only those that such an image lacks are carried. modejax itself runs from
the checkout and need not be installed.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import tyro

from modejax.data import load_dataset

WHEELS = ("tyro", "docstring-parser", "typeguard", "platformdirs", "h5netcdf")
"""Pure Python packages that a usual CUDA image lacks: a megabyte in all."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options."""

    out: Path = Path("carry")
    """Folder to fill."""
    data: str = "mnist"
    """Data set to write as an .npz."""
    python: str = "3.12"
    """Version of Python on the other machine."""


def main(config: Config) -> None:
    """Fill the folder and say what to do with it."""
    wheels = config.out / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", config.python]
    for program in (sys.executable, "python3"):
        called = [program, "-m", "pip", *words, "--dest", str(wheels), *WHEELS]
        done = subprocess.run(called, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
    else:
        raise SystemExit(f"pip could not fetch {', '.join(WHEELS)}: {done.stderr.strip()[-300:]}")
    dataset = load_dataset(config.data)
    arrays = {name: getattr(dataset, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    file = config.out / f"{config.data}.npz"
    np.savez_compressed(file, **arrays)
    size = sum(path.stat().st_size for path in config.out.rglob("*") if path.is_file())
    print(f"{config.out}: {len(list(wheels.glob('*.whl')))} wheels and {file.name}, {size / 2**20:.1f} MiB")
    print("on the other machine, in a copy of this checkout with that folder:")
    print(f"  python3 -m pip install --no-index --no-deps --target carry/site {wheels}/*.whl")
    print(f"  PYTHONPATH=.:carry/site python3 -m benchmarks.gpu --out results --data {file}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
