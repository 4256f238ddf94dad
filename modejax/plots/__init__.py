"""Pictures of results, made by matplotlib.

Every function takes its data first and `ax` (or `axes`) last, draws a figure of its own where that is left out, and
returns the axes (or an array of them); `.figure` is their figure. `colours` and `labels` take a list, one entry a curve
in order, or a dictionary by the names that curves have by default.

Read `members` first (which networks, mean and band over seeds), then `style` (curves, axes) and `colours`, then one
file a subject: `accuracy`, `rates`, `arms`, `truncation`, `pruning`, `learning`, `importance`; `power_law`, `removal`,
`least_modes`, `comparison` and `mixture` for what modes mean; `decompose` for trained kernels as modes; `online` for
online learning; `interpolation` for interpolation matrices; `svr_graph`, `svr_html`, `svr` and `svr_compare` for
singular value representations; `numbers` for the numbers behind a figure; `rows`, `answer`, `figures`, `captions`,
`page` and `report` make the table, the least numbers of modes, the files and the page of a run. Nothing is shown, no
pyplot state is touched, and matplotlib is imported when the first picture is drawn. Training and its arithmetic do not
belong here.
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy

if TYPE_CHECKING:
    from modejax.plots.accuracy import plot_accuracy as plot_accuracy
    from modejax.plots.accuracy import plot_rates as plot_rates
    from modejax.plots.answer import answers as answers
    from modejax.plots.arms import plot_against as plot_against
    from modejax.plots.arms import plot_arms as plot_arms
    from modejax.plots.arms import plot_error_against_examples as plot_error_against_examples
    from modejax.plots.comparison import plot_by_layer as plot_by_layer
    from modejax.plots.comparison import plot_cost as plot_cost
    from modejax.plots.decompose import plot_cuts as plot_cuts
    from modejax.plots.decompose import plot_kept_accuracy as plot_kept_accuracy
    from modejax.plots.decompose import plot_kept_energy as plot_kept_energy
    from modejax.plots.figures import save_figures as save_figures
    from modejax.plots.importance import plot_importance as plot_importance
    from modejax.plots.importance import plot_importance_history as plot_importance_history
    from modejax.plots.interpolation import plot_condition as plot_condition
    from modejax.plots.interpolation import plot_matrix as plot_matrix
    from modejax.plots.interpolation import plot_profile as plot_profile
    from modejax.plots.interpolation import plot_regions as plot_regions
    from modejax.plots.interpolation import plot_series as plot_series
    from modejax.plots.learning import plot_learning as plot_learning
    from modejax.plots.least_modes import plot_least_modes as plot_least_modes
    from modejax.plots.mixture import plot_decision as plot_decision
    from modejax.plots.mixture import plot_mode_space as plot_mode_space
    from modejax.plots.numbers import figure_data as figure_data
    from modejax.plots.online import plot_end_rates as plot_end_rates
    from modejax.plots.online import plot_error as plot_error
    from modejax.plots.online import plot_order_parameters as plot_order_parameters
    from modejax.plots.online import plot_ratio as plot_ratio
    from modejax.plots.online import plot_specialisation as plot_specialisation
    from modejax.plots.online import plot_stages as plot_stages
    from modejax.plots.online import plot_sweep as plot_sweep
    from modejax.plots.power_law import plot_power_law as plot_power_law
    from modejax.plots.power_law import plot_residuals as plot_residuals
    from modejax.plots.power_law import plot_slopes as plot_slopes
    from modejax.plots.pruning import plot_node_scores as plot_node_scores
    from modejax.plots.pruning import plot_pruning as plot_pruning
    from modejax.plots.rates import plot_accuracy_vs_rate as plot_accuracy_vs_rate
    from modejax.plots.rates import plot_first_and_best as plot_first_and_best
    from modejax.plots.removal import plot_removal as plot_removal
    from modejax.plots.report import write_report as write_report
    from modejax.plots.rows import table as table
    from modejax.plots.svr import plot_bars as plot_bars
    from modejax.plots.svr import plot_edges as plot_edges
    from modejax.plots.svr import plot_filters as plot_filters
    from modejax.plots.svr import plot_near_kernel as plot_near_kernel
    from modejax.plots.svr import plot_patterns as plot_patterns
    from modejax.plots.svr import plot_significant as plot_significant
    from modejax.plots.svr import plot_survival as plot_survival
    from modejax.plots.svr_compare import plot_comparison as plot_comparison
    from modejax.plots.svr_graph import plot_svr as plot_svr
    from modejax.plots.svr_html import svr_figure as svr_figure
    from modejax.plots.svr_html import write_svr_html as write_svr_html
    from modejax.plots.truncation import plot_emergence as plot_emergence
    from modejax.plots.truncation import plot_truncation as plot_truncation
    from modejax.plots.widths import plot_width_check as plot_width_check
    from modejax.plots.widths import save_width_check as save_width_check

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "accuracy": ["plot_accuracy", "plot_rates"],
        "answer": ["answers"],
        "arms": ["plot_against", "plot_arms", "plot_error_against_examples"],
        "comparison": ["plot_by_layer", "plot_cost"],
        "decompose": ["plot_cuts", "plot_kept_accuracy", "plot_kept_energy"],
        "figures": ["save_figures"],
        "importance": ["plot_importance", "plot_importance_history"],
        "interpolation": ["plot_condition", "plot_matrix", "plot_profile", "plot_regions", "plot_series"],
        "learning": ["plot_learning"],
        "least_modes": ["plot_least_modes"],
        "mixture": ["plot_decision", "plot_mode_space"],
        "numbers": ["figure_data"],
        "online": [
            "plot_end_rates",
            "plot_error",
            "plot_order_parameters",
            "plot_ratio",
            "plot_specialisation",
            "plot_stages",
            "plot_sweep",
        ],
        "power_law": ["plot_power_law", "plot_residuals", "plot_slopes"],
        "rates": ["plot_accuracy_vs_rate", "plot_first_and_best"],
        "removal": ["plot_removal"],
        "pruning": ["plot_node_scores", "plot_pruning"],
        "report": ["write_report"],
        "rows": ["table"],
        "svr": [
            "plot_bars",
            "plot_edges",
            "plot_filters",
            "plot_near_kernel",
            "plot_patterns",
            "plot_significant",
            "plot_survival",
        ],
        "svr_compare": ["plot_comparison"],
        "svr_graph": ["plot_svr"],
        "svr_html": ["svr_figure", "write_svr_html"],
        "truncation": ["plot_emergence", "plot_truncation"],
        "widths": ["plot_width_check", "save_width_check"],
    },
)
