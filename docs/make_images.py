"""Draw the pictures of the README: every schedule, over the same run, with the same warmup."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lightning_lrsched import SGDR, Constant, Cosine, Linear, MultiStep, OneCycle, Plan, RunLength, Step

SCHEDULES = {
    "SGDR('10ep', T_mult=2)": Plan(SGDR("10ep", T_mult=2), warmup="5ep"),
    "SGDR('14ep', gamma=0.7)": Plan(SGDR("14ep", gamma=0.7), warmup="5ep"),
    "Cosine()": Plan(Cosine(), warmup="5ep"),
    "Linear()": Plan(Linear(), warmup="5ep"),
    "OneCycle()": Plan(OneCycle()),
    "Step('20ep', gamma=0.3)": Plan(Step("20ep", gamma=0.3), warmup="5ep"),
    "MultiStep(['30ep', '50ep'])": Plan(MultiStep(["30ep", "50ep"], gamma=0.3), warmup="5ep"),
    "Constant(), cooldown='20%'": Plan(Constant(), warmup="5ep", cooldown="20%"),
}


def main() -> None:
    """Write ``docs/images/schedules.png``."""
    run = RunLength(total_steps=7500, steps_per_epoch=100)
    steps = np.arange(7500)
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, (name, plan) in zip(figure.subplots(2, 4, sharex=True, sharey=True).flat, SCHEDULES.items(), strict=True):
        axes.plot(steps / 100, plan.resolve(run).lr(steps, base_lr=0.1), linewidth=1.8, color="#0072B2")
        axes.set_title(name, fontsize=9, family="monospace")
        axes.grid(alpha=0.25)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("learning rate (peak 0.1)", fontsize=9)
    figure.savefig(Path(__file__).parent / "images" / "schedules.png", dpi=110)


if __name__ == "__main__":
    main()
