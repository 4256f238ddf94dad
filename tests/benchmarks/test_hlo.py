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


@pytest.mark.parametrize(
    ("window", "labels", "left", "kernel", "out", "flops"),
    [
        # A batched product as compilers for TPUs write it: 64 places of which each meets one of 64 kernels.
        (
            "size=64 stride=63 lhs_dilate=64",
            "0bf_0io->0bf",
            (64, 10, 30),
            (64, 30, 20),
            (64, 10, 20),
            64 * 10 * 30 * 20,
        ),
        # Padding that nothing stands in.
        ("size=5 pad=4_4 rhs_reversal=1", "bf0_o0i->bf0", (7, 3, 1), (4, 5, 3), (7, 4, 5), 7 * 3 * 4 * 5),
        # A convolution of 3 places over 6 with one of padding at each end.
        ("size=3 pad=1_1", "b0f_0io->b0f", (2, 6, 3), (3, 3, 4), (2, 6, 4), 2 * 3 * 4 * (6 * 3 - 2)),
    ],
)
def test_convolutions_count_what_meets_an_input(window, labels, left, kernel, out, flops):
    shapes = ["f32[" + ",".join(map(str, shape)) + "]" for shape in (left, kernel, out)]
    text = f"""HloModule m

ENTRY %main (a: {shapes[0]}, b: {shapes[1]}) -> {shapes[2]} {{
  %a = {shapes[0]}{{2,1,0}} parameter(0)
  %b = {shapes[1]}{{2,1,0}} parameter(1)
  ROOT %c = {shapes[2]}{{2,1,0}} convolution(%a, %b), window={{{window}}}, dim_labels={labels}
}}
"""
    module = parse(text)
    (kernel_of,) = module.kernels(module.entry)
    assert kernel_of.kind == "convolution"
    assert kernel_of.flops == 2 * flops


def test_arrays_on_the_chip_move_no_bytes_of_main_memory():
    text = """HloModule m

%condition (p: (s32[], f32[8,8])) -> pred[] {
  %p = (s32[], f32[8,8]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %limit = s32[]{:T(128)} constant(12)
  ROOT %less = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

%body (p: (s32[], f32[8,8])) -> (s32[], f32[8,8]) {
  %p = (s32[], f32[8,8]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %x = f32[8,8]{1,0:T(8,128)S(1)} get-tuple-element(%p), index=1
  %next = s32[]{:T(128)} add(%i, %i)
  %away = (f32[8,8]{1,0:T(8,128)}, f32[8,8]{1,0:T(8,128)S(1)}, u32[]{:S(2)}) copy-start(%x)
  %there = f32[8,8]{1,0:T(8,128)} copy-done(%away)
  %y = f32[8,8]{1,0:T(8,128)S(1)} cosine(%x)
  ROOT %out = (s32[], f32[8,8]{1,0:T(8,128)S(1)}) tuple(%next, %y)
}

ENTRY %main (a: (s32[], f32[8,8])) -> (s32[], f32[8,8]) {
  %a = (s32[], f32[8,8]{1,0:T(8,128)S(1)}) parameter(0)
  ROOT %w = (s32[], f32[8,8]{1,0:T(8,128)S(1)}) while(%a), condition=%condition, body=%body
}
"""
    (loop,) = parse(text).loops()
    assert loop.turns == 12
    assert [(kernel.kind, kernel.bytes) for kernel in loop.kernels] == [("scalar", 8), ("prefetch", 256), ("other", 0)]
