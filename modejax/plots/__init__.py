"""Pictures of results: matplotlib figures that take the labelled arrays and `ax`, and return the axes.

Read `members` first (which networks, mean and band over seeds), then `style` (curves, colours, axes), then one file a
subject: `accuracy`, `truncation`, `learning`, `importance`; `report` saves them all and writes the page of a run.
Nothing is shown, no pyplot state is touched, and matplotlib is imported when the first picture is drawn. Training and
its arithmetic may not come in.
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy

if TYPE_CHECKING:
    from modejax.plots.accuracy import plot_accuracy as plot_accuracy
    from modejax.plots.accuracy import plot_rates as plot_rates
    from modejax.plots.importance import plot_importance as plot_importance
    from modejax.plots.learning import plot_learning as plot_learning
    from modejax.plots.report import save_figures as save_figures
    from modejax.plots.report import table as table
    from modejax.plots.report import write_report as write_report
    from modejax.plots.truncation import plot_emergence as plot_emergence
    from modejax.plots.truncation import plot_truncation as plot_truncation

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "accuracy": ["plot_accuracy", "plot_rates"],
        "importance": ["plot_importance"],
        "learning": ["plot_learning"],
        "report": ["save_figures", "table", "write_report"],
        "truncation": ["plot_emergence", "plot_truncation"],
    },
)
