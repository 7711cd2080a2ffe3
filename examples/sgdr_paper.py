"""The seven learning-rate schedules of the SGDR paper, laid over one another as in its first figure.

Run it with ``python examples/sgdr_paper.py``, or over a shorter run: ``--epochs 50 --steps-per-epoch 10``. Nothing is
trained: a plan is a function of the step, so its curve can be drawn by itself.

Source: Loshchilov & Hutter, arXiv 1608.03983, figure 1.
"""

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from matplotlib.figure import Figure

from lightning_lrsched import SGDR, MultiStep, Plan, RunLength

PAPER_EPOCHS = 200
DROPS = (60, 120, 160)


def curves(epochs: int) -> dict[str, tuple[Plan, float]]:
    """Return the paper's plans with their peak lr, for a run of ``epochs`` instead of 200."""
    share = Fraction(epochs, PAPER_EPOCHS)

    def of(paper_epochs: int) -> str:
        return f"{float(paper_epochs * share):g}ep"

    step = Plan(MultiStep([of(drop) for drop in DROPS], gamma=0.2))
    return {
        "default, lr 0.1": (step, 0.1),
        "default, lr 0.05": (step, 0.05),
        "T_0 = 50, T_mult = 1": (Plan(SGDR(of(50))), 0.05),
        "T_0 = 100, T_mult = 1": (Plan(SGDR(of(100))), 0.05),
        "T_0 = 200, T_mult = 1": (Plan(SGDR(of(200))), 0.05),
        "T_0 = 1, T_mult = 2": (Plan(SGDR(of(1), T_mult=2)), 0.05),
        "T_0 = 10, T_mult = 2": (Plan(SGDR(of(10), T_mult=2)), 0.05),
    }


def figure(epochs: int, steps_per_epoch: int) -> Figure:
    """Return the picture."""
    run = RunLength(epochs * steps_per_epoch, steps_per_epoch)
    picture = Figure(figsize=(9, 5), layout="constrained")
    axes = picture.add_subplot()
    for name, (plan, lr) in curves(epochs).items():
        plan.plot(run, base_lr=lr, ax=axes, marks=False)
        axes.get_lines()[-1].set(label=name, alpha=0.9)
    axes.set(yscale="log", ylim=(1e-4, 0.2), title="Learning rate schedules of the SGDR paper")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False, fontsize=9)
    return picture


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the figure and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=PAPER_EPOCHS, help="length of the run (default: 200)")
    parser.add_argument("--steps-per-epoch", type=int, default=391, help="optimizer steps of an epoch (default: 391)")
    parser.add_argument("--output", type=Path, default=Path("sgdr_paper.png"), help="where the picture goes")
    args = parser.parse_args(argv)
    figure(args.epochs, args.steps_per_epoch).savefig(args.output, dpi=120)
    print(args.output.resolve())


if __name__ == "__main__":
    main()
