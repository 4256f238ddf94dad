"""The check of a family: sound ones pass, and each way to break the contract is named."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import layers
from modejax.draws import normal_matrix
from modejax.extent import Extent, as_extent
from modejax.layers.check import check_family

SOUND = {
    "dense paper": layers.Dense(use_bias=True, start="paper"),
    "dense glorot": layers.Dense(start="glorot"),
    "mode": layers.Mode(),
    "mode biased": layers.Biased(layers.Mode(gauge="scaled")),
    "mode width-free": layers.Mode(gauge="width_free"),
    "dense width-free": layers.Dense(gauge="width_free", to_outputs=True),
    "spectral width-free": layers.Spectral("two_set", gauge="width_free"),
    "low_rank": layers.LowRank(),
    "svd": layers.SVD(),
    **{variant: layers.Spectral(variant, l2_out=0.1) for variant in ("single_set", "qr_triangular", "svd")},
    **{mask: layers.Masked(layers.Dense(use_bias=True), mask, 50.0) for mask in ("dynamic", "static", "frozen")},
    "dense conv": layers.DenseConv((3, 2), strides=(2, 1), use_bias=True),
    "mode conv": layers.ModeConv((3,), padding="VALID", kernel_dilation=2),
    "low-rank conv": layers.LowRankConv((2, 2), start="released"),
    "spectral conv": layers.SpectralConv((2, 2), input_dilation=2),
    "masked conv": layers.Masked(layers.ModeConv((3,)), "random", 50.0),
}


@pytest.mark.parametrize(
    "name", [name if name == "dense paper" else pytest.param(name, marks=pytest.mark.slow) for name in SOUND]
)
def test_the_families_of_the_library_are_sound(name):
    assert check_family(SOUND[name]) == []


class Params(NamedTuple):
    weight: Any
    bias: Any = None


@dataclasses.dataclass(frozen=True)
class Plain(layers.Family):
    """A sound family with nothing but what a family needs; the broken ones change one thing."""

    scale: float = 0.5

    def init(self, key, fan_in, fan_out, modes=None):
        return Params(self.scale * normal_matrix(key, as_extent(fan_out), as_extent(fan_in)))

    def kernel(self, params):
        return params.weight


@pytest.mark.slow
def test_init_and_kernel_are_enough():
    assert check_family(Plain()) == []


def plain(scale=0.5):
    return Plain(scale)


class Outside(Plain):
    def __init__(self, sizes):
        object.__setattr__(self, "scale", 0.5)
        object.__setattr__(self, "sizes", sizes)


@dataclasses.dataclass(frozen=True, eq=False)
class ByIdentity(Plain):
    size: int = 3


class Holder:
    pass


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (Plain, "Plain is a class; give an instance of it, such as Plain()"),
        (plain, "a function is no family; give an instance of a frozen dataclass"),
        (3, "an object of the type int is no family"),
        (Outside(4), "Outside keeps sizes outside of its fields"),
        (ByIdentity(), "eq=False"),
        (Plain([1.0]), "Plain is not hashable (unhashable type: 'list')"),  # pyright: ignore[reportArgumentType]
        (Plain(Holder()), "Plain is not equal to its copy"),  # pyright: ignore[reportArgumentType]
        (layers.Masked(layers.Dense(), sparsity=jnp.ones(())), "Masked is not hashable"),
    ],
)
def test_a_record_that_is_none_is_named(family, message):
    found = check_family(family)
    assert len(found) == 1
    assert message in found[0]


@dataclasses.dataclass(frozen=True)
class Unknown(Plain):
    takes_modes = "some"  # pyright: ignore[reportAssignmentType]


@dataclasses.dataclass(frozen=True)
class Raising(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        raise ValueError("no such thing\nand more")


@dataclasses.dataclass(frozen=True)
class ADict(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return {"weight": jnp.ones((fan_out, fan_in))}


@dataclasses.dataclass(frozen=True)
class ANumber(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight, 0.0)


@dataclasses.dataclass(frozen=True)
class Transposed(Plain):
    def kernel(self, params):
        return params.weight.T


@dataclasses.dataclass(frozen=True)
class OtherTree(Plain):
    def trainable(self, params):
        return True


@dataclasses.dataclass(frozen=True)
class TrainsIntegers(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight, jnp.arange(3))

    def bias(self, params):
        return None

    def trainable(self, params):
        return Params(True, True)


@dataclasses.dataclass(frozen=True)
class NothingMoves(Plain):
    def trainable(self, params):
        return Params(False)


@dataclasses.dataclass(frozen=True)
class NotFinite(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight / 0.0)


STOPPED = {
    "no such word": (Unknown(), "takes_modes is 'some'; allowed: none, optional, required"),
    "init raises": (Raising(), "init raised ValueError: no such thing"),
    "init gives a dict": (ADict(), "init returns dict; return a NamedTuple of arrays"),
    "init gives a number": (ANumber(), "init gives bias as float; make it an array"),
    "kernel transposed": (Transposed(), "kernel has the shape (6, 5); expected (fan_out, fan_in) = (5, 6)"),
    "trainable of another tree": (OtherTree(), "trainable has another structure than the parameters"),
    "integers trained": (TrainsIntegers(), "trainable marks bias, which is of the type int"),
    "nothing trained": (NothingMoves(), "trainable marks nothing"),
    "infinite": (NotFinite(), "init gives weight entries that are not finite"),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if index > 5 else name  # those that draw take the compiler longer
        for index, name in enumerate(STOPPED)
    ],
)
def test_what_ends_the_check_is_named(name):
    family, message = STOPPED[name]
    found = check_family(family)
    assert len(found) == 1
    assert message in found[0]


@dataclasses.dataclass(frozen=True)
class OneSeed(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return super().init(jax.random.key(0), fan_in, fan_out)


@dataclasses.dataclass(frozen=True)
class Single(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight.astype(jnp.float32))


@dataclasses.dataclass(frozen=True)
class ByCapacity(Plain):
    """Draws of `jax.random` depend on the shape."""

    def init(self, key, fan_in, fan_out, modes=None):
        n_in, n_out = as_extent(fan_in), as_extent(fan_out)
        drawn = jax.random.normal(key, (n_out.capacity, n_in.capacity))
        return Params(jnp.where(n_out.mask[:, None] & n_in.mask[None, :], drawn, 0))


@dataclasses.dataclass(frozen=True)
class ScaledByCapacity(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight / as_extent(fan_in).capacity)


@dataclasses.dataclass(frozen=True)
class Unmasked(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        full = [Extent(as_extent(n).capacity, as_extent(n).capacity) for n in (fan_out, fan_in)]
        return Params(normal_matrix(key, *full))


@dataclasses.dataclass(frozen=True)
class Untraced(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight * int(as_extent(fan_in).active))


@dataclasses.dataclass(frozen=True)
class Residual(Plain):
    """A path beside the weights, wherever it fits."""

    def apply(self, params, x):
        z = super().apply(params, x)
        return z + x if z.shape == x.shape else z


@dataclasses.dataclass(frozen=True)
class ForOneExample(Plain):
    def apply(self, params, x):
        return params.weight @ x


@dataclasses.dataclass(frozen=True)
class ForgetsTheBias(Plain):
    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight, jnp.zeros(as_extent(fan_out).capacity))

    def apply(self, params, x):
        return self.apply_kernel(params.weight, x)


@dataclasses.dataclass(frozen=True)
class Offset(Plain):
    """Padded units do not stay silent."""

    def init(self, key, fan_in, fan_out, modes=None):
        return Params(super().init(key, fan_in, fan_out).weight, jnp.zeros(as_extent(fan_out).capacity))

    def bias(self, params):
        return params.bias + 1


@dataclasses.dataclass(frozen=True)
class NoCut(layers.Mode):
    cut = layers.Family.cut


@dataclasses.dataclass(frozen=True)
class CutsTheOthers(layers.LowRank):
    def cut(self, params, keep):
        return super().cut(params, ~keep)


@dataclasses.dataclass(frozen=True)
class ForgetsTheWeight(layers.Mode):
    def modes(self, params):
        return super().modes(params)._replace(weight=jnp.ones_like(params.sigma))


@dataclasses.dataclass(frozen=True)
class Stopped(Plain):
    def kernel(self, params):
        return params.weight * jax.lax.stop_gradient(params.weight)


@dataclasses.dataclass(frozen=True)
class Root(Plain):
    """A derivative that is infinite on the padding."""

    def kernel(self, params):
        return jnp.sign(params.weight) * jnp.sqrt(jnp.abs(params.weight))


@dataclasses.dataclass(frozen=True)
class VectorPenalty(Plain):
    def penalty(self, params):
        return jnp.sum(params.weight**2, axis=0)


@dataclasses.dataclass(frozen=True)
class CountsTooMany(Plain):
    def num_parameters(self, fan_in, fan_out, modes=None):
        return 1000


@dataclasses.dataclass(frozen=True)
class LostBias(layers.DenseConv):
    """A convolution whose outputs are doubled behind the kernel's back."""

    def apply(self, params, x):
        return 2 * super().apply(params, x)


BROKEN = {
    "one seed": (OneSeed(), "two seeds give the same start"),
    "float32": (Single(), "init gives weight in float32 where float64 is the default"),
    "draws by capacity": (ByCapacity(), "width 5 in a capacity of 9 is off by"),
    "scale by capacity": (ScaledByCapacity(), "init gives weight other entries among padding"),
    "no mask": (Unmasked(), "init leaves weight up to"),
    "sizes as integers": (Untraced(), "init with padded sizes raised ConcretizationTypeError"),
    "residual path": (Residual(), "apply differs from x W^T + b by"),
    "one example only": (ForOneExample(), "apply to inputs of the shape (4, 6) raised"),
    "bias forgotten": (ForgetsTheBias(), "apply differs from x W^T + b by"),
    "noise on padding": (Offset(), "apply gives padded units outputs that are not 0"),
    "no cut": (NoCut(), "NoCut has modes but does not say how they are cut"),
    "wrong cut": (CutsTheOthers(), "the kernel cut to some modes differs from the sum of those by"),
    "wrong modes": (ForgetsTheWeight(), "the kernel differs from the sum of its modes by"),
    "gradient stopped": (Stopped(), "the gradient of weight along a direction is"),
    "gradient infinite": (Root(), "weight has a gradient on the padding"),
    "penalty no number": (VectorPenalty(), "penalty has the shape (6,)"),
    "count": (CountsTooMany(), "num_parameters gives 1000, but 30 entries are trained"),
    "convolution": (LostBias((2,)), "apply differs from x W^T + b by"),
    "straight through": (
        layers.Masked(layers.Dense(), "straight_through", 50.0),
        "the gradient of layer.weight along a direction is",
    ),
}


@pytest.mark.parametrize(
    "name", [name if name == "residual path" else pytest.param(name, marks=pytest.mark.slow) for name in BROKEN]
)
def test_what_breaks_the_contract_is_named(name):
    family, message = BROKEN[name]
    found = check_family(family)
    assert any(message in each for each in found), found


@pytest.mark.slow
def test_a_residual_path_is_found_where_it_fits():
    (message,) = check_family(Residual())
    assert "(6 inputs, 6 outputs" in message
    # The size is that of the inputs.
    assert 0.1 < float(message.split("by ")[1].split(" ")[0]) < 10


def test_the_check_leaves_the_types_of_jax_as_they_were():
    check_family(Plain)
    check_family(Raising())
    assert jnp.ones(1).dtype == np.float32
