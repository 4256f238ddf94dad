"""`modejax check-widths`: does the learning rate carry over between widths?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import ClassVar

from modejax.sweep.arm import ActivationName

__all__ = ["CheckWidthsCommand"]


@dataclasses.dataclass(frozen=True)
class CheckWidthsCommand:
    """Check whether the best learning rate carries over between widths, by how far the first steps move each map.

    Networks that differ only in width take a few steps on the same batches. Where the outputs of all maps change by
    amounts that do not depend on the width, one learning rate serves all widths. Give a rate near the best one: if the
    rate is far too small, the effect of the steps is lost in the random initial values.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "modejax check-widths --layer-options gauge=width_free --learning-rate 0.2",
        "modejax check-widths --layer dense --learning-rate 0.002 --dataset mnist",
    )

    network: str = "mlp"
    """Architecture: mlp, residual, conv (images), tied (shared patterns), sparcs (one spectral operator)."""
    network_options: tuple[str, ...] = ()
    """Options of the architecture as name=value."""
    layer: str = "mode"
    """Parametrisation of the weight maps: dense, low_rank, mode, spectral, svd."""
    layer_options: tuple[str, ...] = ()
    """Options of the layer as name=value, such as gauge=width_free (mode, dense, spectral)."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    """Units in each hidden layer."""
    modes: int = 10
    """Modes in each map, for layers that take them."""
    depth: int = 2
    """Number of hidden layers."""
    activation: ActivationName = "relu"
    """Activation of the hidden layers."""
    optimiser: str = "adam"
    """Optimiser: adam (AdamW), adamax, sgd, or another of optax by name."""
    learning_rate: float = 0.01
    """Learning rate of all steps."""
    steps: int = 20
    """Number of training steps."""
    seeds: int = 3
    """Number of networks of each width, with seeds of their own."""
    batch_size: int = 50
    """Examples in a batch."""
    dataset: str = "digits"
    """Data set: digits, gaussian_mixture, mnist, fashion_mnist, cifar10, or the path of a user's .npz."""
    data_dir: str | None = None
    """Folder of prepared data sets; by default the one that MODEJAX_DATA_DIR names, else ~/tensorflow_datasets."""
    figure: Path = Path("runs/check-widths.png")
    """File of the figure; an existing file is replaced."""
    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code: 0, also if the rate does not carry over."""
        from modejax.cli.devices import use_devices

        use_devices()
        from modejax.data import load_dataset
        from modejax.plots.widths import save_width_check
        from modejax.sweep.arm import Arm
        from modejax.sweep.width_check import check_arm_widths
        from modejax.training.widths import power_text

        arm = Arm(
            network=self.network,
            network_options=self.network_options,
            layer=self.layer,
            layer_options=self.layer_options,
            widths=self.widths,
            depth=self.depth,
            activation=self.activation,
            optimiser=self.optimiser,
            learning_rates=(self.learning_rate,),
        )
        if arm.takes_modes == "required":
            arm = dataclasses.replace(arm, modes=(self.modes,))
        dataset = load_dataset(self.dataset, data_dir=self.data_dir)
        sizes = {"steps": self.steps, "seeds": self.seeds, "batch_size": self.batch_size}
        check = check_arm_widths(arm, dataset, **sizes)
        save_width_check(self.figure, check, f"{arm.name} on {dataset.name}, {self.optimiser}")
        powers = {what: check.powers(what, step) for what, step in (("size", 0), ("update", -1))}
        if self.json:
            maps = {
                name: {what: {"power": float(a[i]), "error": float(b[i])} for what, (a, b) in powers.items()}
                for i, name in enumerate(check.map_names)
            }
            facts = {"widths": check.widths.tolist(), "maps": maps, "width_free": check.width_free}
            print(json.dumps(facts | {"verdict": check.verdict, "paths": [str(self.figure)]}, indent=2))
            return 0
        from modejax.cli.table import print_table

        rows = [
            [name, *(f"{power_text(a[i])} +- {b[i]:.2f}" for a, b in powers.values())]
            for i, name in enumerate(check.map_names)
        ]
        widths = ", ".join(map(str, check.widths))
        title = f"outputs of each map, as powers of the width N; widths {widths}, learning rate {self.learning_rate:g}"
        print_table(title, ["map", "size at the start", f"change after {check.steps} steps"], rows)
        print(check.verdict)
        print(f"wrote {self.figure}")
        return 0
