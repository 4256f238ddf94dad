"""The reader of optimised programs: loops, kernels, bytes and operations of programs of which they are known."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.hlo import parse


def program(function, *arguments):
    return parse(jax.jit(function).lower(*arguments).compile().as_text() or "")


def test_products_are_counted_in_loops_and_outside():
    a, b = jnp.ones((3, 8, 4)), jnp.ones((3, 4, 5))

    def function(a, b):
        once = jnp.einsum("mij,mjk->mik", a, b)
        return jax.lax.scan(lambda x, _: (jnp.sin(x) @ jnp.ones((5, 5)), None), once, length=7)[0]

    module = program(function, a, b)
    (loop,) = (each for each in module.loops() if each.turns == 7)
    assert loop.depth == 0
    assert sum(kernel.flops for kernel in loop.kernels) == 2 * 3 * 8 * 5 * 5
    assert sum(kernel.flops for kernel in module.kernels(module.entry)) == 2 * 3 * 8 * 4 * 5
    assert module.collectives == 0


def test_loops_inside_loops_are_apart():
    def function(x):
        inner = lambda x: jax.lax.fori_loop(0, 5, lambda i, x: jnp.cos(x) + i.astype(x.dtype), x)  # noqa: E731
        return jax.lax.fori_loop(0, 3, lambda i, x: inner(x) * 2, x)

    found = [(loop.turns, loop.depth) for loop in program(function, jnp.ones(1000)).loops()]
    assert (3, 0) in found
    assert (5, 1) in found


def test_of_a_row_that_is_read_or_written_only_the_row_moves():
    text = """HloModule m

%inside (p0: f32[100,8], p1: s32[]) -> f32[1,8] {
  %p0 = f32[100,8]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %row = f32[1,8]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={1,8}
}

%put (q0: f32[100,8], q1: f32[1,8], q2: s32[]) -> f32[100,8] {
  %q0 = f32[100,8]{1,0} parameter(0)
  %q1 = f32[1,8]{1,0} parameter(1)
  %q2 = s32[] parameter(2)
  %none = s32[] constant(0)
  ROOT %new = f32[100,8]{1,0} dynamic-update-slice(%q0, %q1, %q2, %none)
}

ENTRY %main (a: f32[100,8], i: s32[]) -> f32[100,8] {
  %a = f32[100,8]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %read = f32[1,8]{1,0} fusion(%a, %i), kind=kLoop, calls=%inside
  ROOT %written = f32[100,8]{1,0} fusion(%a, %read, %i), kind=kLoop, calls=%put
}
"""
    module = parse(text)
    read, written = module.kernels(module.entry)
    assert read.bytes == 2 * 8 * 4 + 4  # the row twice, and the index
    assert written.bytes == 2 * 8 * 4 + 4  # its new values are read and written in place


def test_a_product_of_cublas_is_read_by_its_settings():
    text = """HloModule m

ENTRY %main (a: f32[4,100,30], b: f32[4,50,30]) -> f32[4,100,50] {
  %a = f32[4,100,30]{2,1,0} parameter(0)
  %b = f32[4,50,30]{2,1,0} parameter(1)
  %both = (f32[4,100,50]{2,1,0}, s8[1024]{0}) custom-call(%a, %b), custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{"alpha_real":1,"dot_dimension_numbers":{"lhs_contracting_dimensions":["2"],"rhs_contracting_dimensions":["2"]}}}
  ROOT %out = f32[4,100,50]{2,1,0} get-tuple-element(%both), index=0
}
"""  # noqa: E501
    module = parse(text)
    (kernel,) = module.kernels(module.entry)
    assert (kernel.kind, kernel.flops) == ("product", 2 * 4 * 100 * 50 * 30)
    assert kernel.bytes == 4 * (4 * 100 * 30 + 4 * 50 * 30 + 4 * 100 * 50)  # without the work space


@pytest.mark.parametrize("name", ["cpu", "gpu", "tpu"])
def test_a_backend_is_chosen_for_a_while(name):
    from modejax.backend import backend, made_for

    before = backend()
    with made_for(name):
        assert backend() == name
    assert backend() == before
