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
# For $x \sim N(0, 1)$ in $d$ dimensions the fields $f = (\lambda, \nu)$ are jointly Gaussian, with a covariance $C$ made of the overlaps
# $q = UU^T/d$, $r = UU^{*T}/d$, $t = U^*U^{*T}/d$. Everything then depends on these overlaps, and they obey closed
# differential equations. We derive the equations one piece at a time and check each piece.

# %%
# %matplotlib inline
import os

import jax

# On a machine without an accelerator: one device a core, over which the members of a sweep are spread.
jax.config.update("jax_num_cpu_devices", os.cpu_count())

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from modejax import online
from modejax.online.sweep import start_of
from modejax.plots import plot_error, plot_specialisation, plot_stages


def figure():
    return plt.subplots(figsize=(5.6, 3.6), dpi=80, layout="constrained")[1]


# %% [markdown]
# ## 1. One average: why $\arcsin$
#
# The error $e = y - y^*$ is a sum of $g(f_r)$ with signs $c_r = \pm 1/K$, so $\langle e^2\rangle/2$ needs
# $I_2 = \langle g(f_1) g(f_2)\rangle$. For Gaussian fields $\partial \langle \phi(f_1)\psi(f_2)\rangle/\partial C_{12} = \langle \phi'\psi'\rangle$
# (Price's theorem). Here $g'(z) = \sqrt{2/\pi}\,e^{-z^2/2}$ is itself a Gaussian, so $\langle g' g'\rangle$ is one Gaussian integral:
#
# $$\langle g'(f_1) g'(f_2)\rangle = \frac2\pi\,\frac{1}{\sqrt{(1+C_{11})(1+C_{22}) - C_{12}^2}}
# \;\Longrightarrow\; I_2 = \frac2\pi \arcsin \frac{C_{12}}{\sqrt{(1+C_{11})(1+C_{22})}},$$
#
# integrated from $C_{12} = 0$, where $I_2 = 0$. Both statements checked, by sampling and by differentiating the closed form:

# %%
rng = np.random.default_rng(0)
factor = rng.normal(size=(2, 2))
with jax.enable_x64(True):
    C = jnp.asarray(factor @ factor.T)
    closed = float(online.gaussian_average(online.ERF, C))
    g = np.asarray(online.ERF.value(jnp.asarray(rng.normal(size=(400_000, 2)) @ factor.T)))
    entries = C[0, 0], C[0, 1], C[1, 1]
    price = float(jax.grad(online.ERF.two, argnums=1)(*entries)), float(online.ERF.slope_two(*entries))
sampled = g.prod(axis=1)
print(f"I2: closed form {closed:.5f}, sampled {sampled.mean():.5f} +- {sampled.std() / 400_000**0.5:.5f}")
print(f"dI2/dC12 = {price[0]:.12f}, <g' g'> = {price[1]:.12f}")

# %% [markdown]
# The other two averages follow from the same remark. A factor $g'(f_1)$ *tilts* the Gaussian: it stays Gaussian, with a smaller covariance
# of the other fields. Hence $I_4 = \langle g'(f_1) g'(f_2) g(f_3) g(f_4)\rangle$ is $\langle g' g'\rangle$ times an $I_2$ of the tilted fields, and
# $I_3 = \langle g'(f_1) f_2\, g(f_3)\rangle$ is linear in $f_2$ by integration by parts.
#
# ## 2. From SGD to equations
#
# One step is $U \leftarrow U - \frac{\eta}{K\sqrt d} B^T [e\,g'(\lambda)]\,x^T$. With $u = Ux/\sqrt d$ it changes $q$ by
#
# $$\delta q = -\frac{\eta}{Kd}\left( B^T [e\,g'(\lambda)]\, u^T + \text{transposed} \right)
# + \frac{\eta^2}{K^2 d}\,\frac{|x|^2}{d}\; B^T [e\,g'(\lambda)] [e\,g'(\lambda)]^T B .$$
#
# Many small steps add up to their mean (fluctuations are of order $1/\sqrt d$) and $|x|^2/d \to 1$. With the time $t = \text{samples}/d$
#
# $$\dot q = -\tfrac{\eta}{K}\,(B^T J_u + J_u^T B) + \tfrac{\eta^2}{K^2} B^T F B,\qquad
# \dot r = -\tfrac{\eta}{K} B^T J_v,$$
#
# where $J_u = \langle e\,g'(\lambda)\,u^T\rangle$ is a sum of $I_3$'s ($J_v$: the same with $v = U^*x/\sqrt d$), and the noise of the gradient,
# $F = \langle e^2 g'(\lambda) g'(\lambda)^T\rangle$, is a sum of $I_4$'s. Here is the start of one teacher, and the derivative:

# %%
sizes = online.Sizes(d=200, units=4, modes=3)
with jax.enable_x64(True):
    start = start_of(sizes, 0, 0)
    problem, state = online.overlaps(start, sizes, jnp.asarray(5.0))
    speed = jax.jit(online.p_space)(problem, state)
    print("q =", np.asarray(state.q).round(3).tolist())
    print("dq/dt =", np.asarray(speed.q).round(4).tolist())

# %% [markdown]
# Is that the mean of real SGD steps? Average the change of $Q = B q B^T$, the overlaps of the hidden units, over many single steps:

# %%
with jax.enable_x64(True):
    times = jnp.asarray([0.0, 1.0 / sizes.d])
    step = jax.jit(jax.vmap(lambda key: online.simulate(start, key, times, sizes, 5.0).Q[1]))
    runs = np.asarray(step(jax.random.split(jax.random.key(1), 4000)))
    b = np.asarray(problem.student.b)
changes = sizes.d * np.diagonal(runs - b @ np.asarray(state.q) @ b.T, axis1=1, axis2=2)
print("simulated dQ/dt, diagonal:", changes.mean(axis=0).round(3), "+-", (changes.std(axis=0) / 4000**0.5).round(3))
print("equations        diagonal:", np.diag(b @ np.asarray(speed.q) @ b.T).round(3))

# %% [markdown]
# ## 3. The whole curve
#
# Theory (line) and five simulations (points: mean, band: range) from the same start, in one compiled program.

# %%
members = online.grid(d=(200,), units=(4,), modes=(3,), teacher=(0,), noise=range(5))
result = online.run_members(members, online.log_times(0.5, 100.0, 16), online.SweepOptions(simulation=True))
t, theory = np.asarray(result.theory.times[0]), np.asarray(result.theory.error[0])
runs = np.asarray(result.simulation.error)
print(f"mean of five runs: within {100 * np.abs(runs.mean(axis=0) / theory - 1).max():.1f} percent of the theory")
plot_error(t, theory, runs, figure())
# %% [markdown]
# ## 4. Stages
#
# Near the teacher write $U = U^* + \delta_\perp + \Gamma\,U^*$: a part orthogonal to the teacher's patterns and a part $\Gamma$ ($p\times p$) inside
# their span. To first order $e = \frac1K \sum_a g'(\nu_a)\,(B\,\delta U\,x/\sqrt d)_a$.
#
# *Orthogonal part.* $\delta_\perp x$ is independent of $\nu$, so averages factorise:
#
# $$\dot\delta_\perp = -R\,\delta_\perp,\qquad R = \frac{\eta}{K^2} B^T H B,\qquad H_{ab} = \langle g'(\nu_a) g'(\nu_b)\rangle .$$
#
# The columns of $B$ are products $\xi\,\Sigma$, so the eigenvalues $\rho_i$ of $R$ spread over orders of magnitude: the strong mode is learned
# first, then nothing seems to happen, then the next one drops. The error is quadratic in $\delta_\perp$, hence $\propto e^{-2\rho_{\min}t}$ in the end.
#
# *Inner part.* Now the field $v = U^*x/\sqrt d$ that is multiplied by $g'(\nu)$ is correlated with $\nu$, and the tilt of section 1 reduces its variance:
# $g'$ is small just where $|\nu|$, and with it $v$, is large. For one unit with one mode, $\langle g'^2 v^2\rangle = \langle g'^2\rangle\,t/(1+2P)$, so the
# inner rate is $\rho/(1+2P)$: **always slower than** $\rho$. For several modes there are $p^2$ inner rates (`parallel_rates`). The end of learning
# goes with twice the smallest rate of both kinds; it is $2\rho_{\min}$ only if no inner rate is smaller. One unit, one mode:

# %%
with jax.enable_x64(True):
    single = online.tied_problem(online.Modes(jnp.ones((1, 1)), jnp.ones(1)), jnp.eye(1), 1.0)
    saved = np.linspace(0.0, 60.0, 300)
    begin = online.Overlaps(jnp.eye(1), 0.1 * jnp.eye(1))
    solved = jax.jit(lambda: online.solve(single, begin, jnp.asarray(saved), tolerance=(1e-9, 1e-13)))()
    rho, inner = online.relaxation_rates(single)[0], online.parallel_rates(single)[0]
measured = online.end_rate(saved, np.asarray(solved.error))
print(
    f"end rate {measured:.4f}; 2 rho = {2 * rho:.4f}; 2 rho / (1 + 2P) = {2 * rho / 3:.4f} = 2 x inner rate {inner:.4f}"
)

# %% [markdown]
# Two modes whose scales $\Sigma$ are set by hand, to make the stages plain:

# %%
with jax.enable_x64(True):
    modes = online.Modes(start.modes.xi[:, :2], jnp.asarray([1.5, 0.12]))
    staged = online.tied_problem(modes, problem.t[:2, :2], 5.0)
    first = online.Overlaps(state.q[:2, :2], state.r[:2, :2])
    rates = online.relaxation_rates(staged)
    inner = online.parallel_rates(staged)[0]
    saved = online.log_times(0.1, 7.0 / min(rates[-1], inner), 300)
    solution = jax.jit(lambda: online.solve(staged, first, jnp.asarray(saved), tolerance=(1e-8, 1e-13)))()
error = np.asarray(solution.error)
found = online.find_plateaus(saved, error)
print("rates of R:", rates, "; smallest inner rate:", inner)
print("detected plateaus:", found)
measured = online.end_rate(saved, error, floor=1e-12)
print(f"end rate {measured:.3g}; 2 min rho = {2 * rates[-1]:.3g}; 2 x smallest inner rate = {2 * inner:.3g}")
plot_stages(saved, error, rates, None, found, figure())
# %% [markdown]
# ## 5. Specialisation
#
# Student unit $a$ shares $\xi_a$ with teacher unit $a$, so there is no permutation symmetry to break and no symmetric
# plateau: each unit turns towards its teacher at its own time.

# %%
cosines = np.asarray(online.specialisation(solution.Q, solution.M, solution.P))
plot_specialisation(saved, cosines, figure())
