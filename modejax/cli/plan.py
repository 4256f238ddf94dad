"""`modejax plan`: what a sweep would run, without running it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from modejax.cli.options import File, SweepOptions, chosen_config
from modejax.cli.table import bytes_text, count_text, print_table, time_text

if TYPE_CHECKING:
    from modejax.sweep.plan import Plan

__all__ = ["PlanCommand"]


@dataclasses.dataclass(frozen=True)
class PlanCommand:
    """Predict how many networks a sweep trains, and in what time and memory; takes the options of modejax sweep."""

    examples: ClassVar[tuple[str, ...]] = (
        "modejax plan --widths 100 200 --modes 10 30 --seeds 10",
        "modejax plan --dataset mnist --device h100",
    )

    # Without a default: one made here would pass the modes of the default layer on to all other layers.
    config: Annotated[SweepOptions, tyro.conf.arg(name="")]
    file: File = None
    json: bool = False
    """Print JSON instead of text."""
    device: Literal["here", "cpu", "a100", "h100", "h200", "v5e", "v6e"] = "here"
    """Device to plan for, which this machine need not have; --devices is the number of such devices, by default one."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        config = chosen_config(self.config, self.file)
        from modejax.cli.devices import use_cores

        use_cores(config)
        from modejax.data import load_dataset
        from modejax.sweep.machines import Target, machine_named
        from modejax.sweep.plan import make_plan

        dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
        target = None if self.device == "here" else Target(machine_named(self.device), config.devices or 1)
        plan = make_plan(config, dataset, target=target)
        if self.json:
            print(json.dumps(_facts(plan, dataset.name), indent=2))
        else:
            _show(plan, dataset.name)
        return 0


def _facts(plan: Plan, dataset: str) -> dict[str, Any]:
    """Return the facts of a plan as JSON-compatible values."""
    memory = plan.memory
    return {
        "dataset": dataset,
        "device": plan.machine.name,
        "rests_on": plan.machine.rests_on,
        "networks": {arm.name: len(arm.members) for arm in plan.arms},
        "parameters": plan.parameters,
        "useful_flops": plan.useful_flops,
        "padded_flops": plan.padded_flops,
        "predicted_seconds": plan.predicted_seconds,
        "predicted_step_seconds": plan.step_seconds,
        "predicted_evaluation_seconds": plan.evaluation_seconds,
        "predicted_compile_seconds": plan.compile_seconds,
        "launches": plan.launches,
        "bytes": {
            **dataclasses.asdict(memory),
            "process": plan.resident_bytes,
            "peak": plan.peak_bytes,
            "each_device": -(-memory.device // plan.devices),
            "limit_each_device": plan.machine.usable,
        },
        "steps_per_epoch": plan.steps_per_epoch,
        "epochs": plan.config.epochs,
        "epochs_per_call": plan.chunk,
        "evaluation_rows": plan.evaluation_rows,
        "devices": plan.devices,
        "buckets": [
            {
                "arm": plan.arms[bucket.arm].name,
                "width": bucket.width,
                "modes": bucket.modes,
                "networks": len(bucket.members),
                "launch": bucket.capacity,
            }
            for bucket in plan.buckets
        ],
    }


def _show(plan: Plan, dataset: str) -> None:
    """Print a plan as text."""
    config, memory, machine = plan.config, plan.memory, plan.machine
    print_table(
        f"{sum(len(arm.members) for arm in plan.arms)} networks on {dataset} in one program",
        ("arm", "padded width", "padded modes", "networks", "networks a launch"),
        [
            [plan.arms[b.arm].name, str(b.width), str(b.modes or "-"), str(len(b.members)), str(b.capacity)]
            for b in plan.buckets
        ],
    )
    print(
        f"{config.epochs} epochs of {plan.steps_per_epoch} batches, {plan.chunk} epochs a call, "
        f"{plan.launches} launch(es) on {plan.devices} device(s): {machine.title}"
    )
    print(
        f"{count_text(plan.useful_flops)}FLOP useful, {count_text(plan.padded_flops)}FLOP with padding "
        f"({plan.padded_flops / plan.useful_flops:.2f} times), in matrix products of the training steps"
    )
    print(
        f"about {time_text(plan.predicted_seconds)} of training and evaluation, {time_text(plan.compile_seconds)} of "
        f"compiling before it; curves come on top"
    )
    print(f"(the prediction rests on {machine.rests_on})")
    held = (
        f"{count_text(plan.parameters)} trainable parameters; a launch holds {bytes_text(memory.state)} of "
        f"parameters and moments, {bytes_text(memory.data)} of data and about {bytes_text(memory.temporary)} besides"
    )
    if machine.backend == "cpu":
        print(f"{held}; about {bytes_text(plan.peak_bytes)} in all at the peak")
        return
    claimed = "JAX claims of it by default" if machine.backend == "gpu" else "it has"
    room = "" if machine.usable is None else f" of the {bytes_text(machine.usable)} that {claimed}"
    print(f"{held}:")
    print(
        f"about {bytes_text(memory.device / plan.devices)} on each device{room}, {bytes_text(memory.host)} on the host"
    )
