# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Online learning of modes, step by step
#
# A student network learns from a teacher, one fresh sample a step. Its weights are *modes*:
# $W = \xi\,\mathrm{diag}(\Sigma)\,U$ with $p$ input patterns $U$ in $d$ dimensions and $K$ hidden units that share
# them. Teacher and student share $\xi$ and $\Sigma$; only $U$ learns. With
# $B = \xi\,\mathrm{diag}(\Sigma)$ the fields and outputs are
#
# $$\lambda = B\,U x/\sqrt d,\qquad \nu = B\,U^* x/\sqrt d,\qquad
# y = \tfrac1K\sum_a g(\lambda_a),\qquad g(z) = \mathrm{erf}(z/\sqrt 2).$$
#
# For $x \sim N(0, 1)$ in many dimensions the fields are jointly Gaussian. Everything then depends on a handful of
# overlaps, which obey closed differential equations. We derive them here one piece at a time and check each piece.

# %%
import io

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display
from matplotlib.figure import Figure

from modejax import online
from modejax.online.sweep import start_of
from modejax.plots import online as plots


# The theory is a difference of numbers near one: float64, inside `with jax.enable_x64(True)`.
def show(draw, size=(5.6, 3.6)):
    """Draw on fresh axes and display."""
    figure = Figure(figsize=size, layout="constrained", dpi=80)
    draw(figure.subplots())
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    display(Image(data=picture.getvalue()))


# %% [markdown]
# ## 1. One average: why $\arcsin$
#
# The error is $e = y - y^*$, a sum of $g$'s with signs $c_r = \pm 1/K$. Its square needs
# $I_2 = \langle g(f_1) g(f_2)\rangle = \frac2\pi \arcsin \frac{C_{12}}{\sqrt{(1+C_{11})(1+C_{22})}}$.
# A quick check by sampling:

# %%
rng = np.random.default_rng(0)
factor = rng.normal(size=(2, 2))
with jax.enable_x64(True):
    closed = float(online.gaussian_average(online.ERF, jnp.asarray(factor @ factor.T)))
    g = np.asarray(online.ERF.value(jnp.asarray(rng.normal(size=(400_000, 2)) @ factor.T)))
sampled = g.prod(axis=1)
print(f"closed form {closed:.5f}, sampled {sampled.mean():.5f} +- {sampled.std() / 400_000**0.5:.5f}")

# %% [markdown]
# ## 2. From SGD to equations
#
# One step is $U \leftarrow U - \frac{\eta}{K\sqrt d} B^T [e\,g'(\lambda)]\,x^T$. Take $q = UU^T/d$ and $r = UU^{*T}/d$
# (both $p \times p$). A step changes them by $O(1/d)$, so with the time $t = \text{samples}/d$ their means obey
#
# $$\dot q = -\tfrac{\eta}{K}\,(B^T J_u + J_u^T B) + \tfrac{\eta^2}{K^2} B^T F B,\qquad
# \dot r = -\tfrac{\eta}{K} B^T J_v,$$
#
# $J_u = \langle e\,g'(\lambda)\,u^T\rangle$ with $u = Ux/\sqrt d$ is the gradient,
# $F = \langle e^2 g'(\lambda) g'(\lambda)^T\rangle$ its noise. Gaussian integration by parts,
# $\langle h\,\phi(f)\rangle = \sum_r \langle h f_r\rangle \langle \partial_r \phi\rangle$, reduces $J$ to two-field
# averages. Here is the state of one teacher at the start, and the derivative:

# %%
sizes = online.Sizes(d=200, units=4, modes=3)
with jax.enable_x64(True):
    start = start_of(sizes, 0, 0)
    problem, state = online.overlaps(start, sizes, jnp.asarray(5.0))
    speed = jax.jit(online.p_space)(problem, state)
    print("q =", np.asarray(state.q).round(3).tolist())
    print("dq/dt =", np.asarray(speed.q).round(4).tolist())

# %% [markdown]
# Is that the mean of real SGD steps? Average the change over many single steps from the same start:

# %%
with jax.enable_x64(True):
    times = jnp.asarray([0.0, 1.0 / sizes.d])
    step = jax.jit(jax.vmap(lambda key: online.simulate(start, key, times, sizes, 5.0).Q[1]))
    Q = jnp.mean(step(jax.random.split(jax.random.key(1), 4000)), axis=0)
    b = problem.student.b
    simulated = sizes.d * (Q - b @ state.q @ b.T)
    expected = b @ speed.q @ b.T
print("simulated dQ/dt, diagonal:", np.diag(np.asarray(simulated)).round(3))
print("equations        diagonal:", np.diag(np.asarray(expected)).round(3))

# %% [markdown]
# ## 3. The whole curve
#
# Theory (lines) and five simulations (points: mean, band: range) from the same start, in one compiled program.

# %%
members = online.grid(d=(200,), units=(4,), modes=(3,), teacher=(0,), noise=range(5))
result = online.run_members(members, online.log_times(0.5, 100.0, 16), online.SweepOptions(simulation=True))
t, theory = np.asarray(result.theory.times[0]), np.asarray(result.theory.error[0])
runs = np.asarray(result.simulation.error)
print(f"mean of five runs: within {100 * np.abs(runs.mean(axis=0) / theory - 1).max():.1f} percent of the theory")
show(lambda ax: plots.plot_error(ax, t, theory, runs))

# %% [markdown]
# ## 4. Stages
#
# Near the teacher the part of $U$ orthogonal to it decays with the eigenvalues $\rho_i$ of
# $R = \frac{\eta}{K^2} B^T H B$, $H_{ab} = \langle g'(\nu_a) g'(\nu_b)\rangle$. The columns of $B$ are products
# $\xi\,\Sigma$, so the $\rho_i$ spread over orders of magnitude: the strong mode is learned first, then nothing seems
# to happen, then the next one drops. (Here the scales $\Sigma$ are set by hand to make the stages plain.)

# %%
with jax.enable_x64(True):
    modes = online.Modes(start.modes.xi, jnp.asarray([1.5, 0.12]))._replace(xi=start.modes.xi[:, :2])
    staged = online.tied_problem(modes, problem.t[:2, :2], 5.0)
    first = online.Overlaps(state.q[:2, :2], state.r[:2, :2])
    rates = online.relaxation_rates(staged)
    inner = online.parallel_rates(staged)[0]
    saved = online.log_times(0.1, 7.0 / min(rates[-1], inner), 300)
    solution = jax.jit(lambda: online.solve(staged, first, jnp.asarray(saved), rtol=1e-8, atol=1e-13))()
error = np.asarray(solution.error)
found = online.find_plateaus(saved, error)
print("rates of R:", rates, "; smallest rate inside the teacher's span:", inner)
print("detected plateaus:", found)
measured = online.end_rate(saved, error, floor=1e-12)
print(f"end rate {measured:.3g}; 2 min rho {2 * rates[-1]:.3g}; 2 min inner rate {2 * inner:.3g}")
show(lambda ax: plots.plot_stages(ax, saved, error, rates, None, found))

# %% [markdown]
# The end of learning goes with twice the smallest rate. There are two kinds of deviation, orthogonal to the teacher
# (rates $\rho_i$) and inside its span (the inner rates above); whichever is slower sets the end.
#
# ## 5. Specialisation
#
# Student unit $a$ shares $\xi_a$ with teacher unit $a$, so there is no permutation symmetry to break and no symmetric
# plateau: each unit turns towards its teacher at its own time.

# %%
cosines = np.asarray(online.specialisation(solution.Q, solution.M, solution.P))
show(lambda ax: plots.plot_specialisation(ax, saved, cosines))
