"""Draw every schedule and every warmup, one small picture each, and write the page that shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lightning_lrsched import Constant, Cooldown, Cosine, Lambda, Multiplicative, Plan, RunLength, Warmup
from lightning_lrsched.expression import parse_part, parse_schedule
from lightning_lrsched.room import Schedule

DOCS = Path(__file__).parent
RUN = RunLength(total_steps=10_000, steps_per_epoch=100)
BASE_LR = 0.1


@dataclass(frozen=True)
class Entry:
    """A row of the gallery.

    Args:
        call: the call as text, which is also what is drawn.
        words: what it does, in a line.
        elsewhere: its names in other libraries.
        plan: what is drawn, where a text cannot say it.
    """

    call: str
    words: str
    elsewhere: str
    plan: Plan | None = None

    @property
    def name(self) -> str:
        """The class, and for a warmup its shape."""
        part = None if self.plan else parse_part(self.call)
        return f"Warmup {part.shape}" if isinstance(part, Warmup) else self.call.partition("(")[0]

    @property
    def picture(self) -> str:
        """The picture's file name."""
        return f"{self.name.replace(' ', '-').lower()}.png"

    def resolved(self) -> Plan:
        """Return the plan that the picture shows."""
        if self.plan is not None:
            return self.plan
        part = parse_part(self.call)
        if isinstance(part, Warmup):
            return Plan(Cosine() if part.overlap else Constant(), warmup=part)
        if isinstance(part, Cooldown):
            return Plan(Constant(), cooldown=part)
        main = parse_schedule(self.call)
        assert isinstance(main, Schedule), self.call
        return Plan(main)


def halved_every_20_epochs(update: int) -> float:
    """Return a factor for `Lambda`."""
    return 0.5 ** (update // 2000)


def a_little_less(update: int) -> float:
    """Return a factor from one update to the next for `Multiplicative`."""
    return 0.9995


SCHEDULES = (
    Entry("Constant()", "the base lr, times a factor", "torch `ConstantLR`, transformers `constant`"),
    Entry("Linear()", "a straight line to a share of the base lr", "torch `LinearLR`, transformers `linear`"),
    Entry(
        "Cosine(eta_min=1e-3)",
        "half a cosine to a floor; `periodic` swings on",
        "torch `CosineAnnealingLR`, transformers `cosine`, timm `CosineLRScheduler`",
    ),
    Entry(
        "Polynomial(power=2)",
        "a power of the time that is left",
        "torch `PolynomialLR`, transformers `polynomial`, timm `PolyLRScheduler`",
    ),
    Entry("Exponential(0.9, '4ep')", "the same factor in the same time", "torch `ExponentialLR`"),
    Entry("Power('10ep')", "fast at first, slower and slower", "Keras `InverseTimeDecay`"),
    Entry("InverseSqrt('5ep')", "the inverse square root of the time", "transformers `inverse_sqrt`"),
    Entry("REX()", "slow at first, fast at the end", "arXiv 2107.04197"),
    Entry("Tanh()", "an S-shaped fall", "timm `TanhLRScheduler`"),
    Entry("Step('30ep', gamma=0.3)", "a drop every so often", "torch `StepLR`, timm `StepLRScheduler`"),
    Entry(
        "MultiStep(['40ep', '80ep'], gamma=0.3)",
        "a drop at each milestone",
        "torch `MultiStepLR`, timm `MultiStepLRScheduler`",
    ),
    Entry(
        "PiecewiseConstant(['20ep', '70ep'], [0.5, 1, 0.2])",
        "one multiple of the base lr after the other",
        "Keras `PiecewiseConstantDecay`",
    ),
    Entry(
        "PiecewiseLinear(['20ep', '60ep'], [0.2, 1, 0.1])",
        "straight lines between points",
        "ignite `PiecewiseLinear`",
    ),
    Entry(
        "SGDR('10ep', T_mult=2, gamma=0.9)",
        "cosine cycles with warm restarts",
        "torch `CosineAnnealingWarmRestarts`, transformers `cosine_with_restarts`, timm `CosineLRScheduler`",
    ),
    Entry("Cyclic('10ep', mode='triangular2')", "up and down, also with a fading height", "torch `CyclicLR`"),
    Entry("OneCycle()", "up, down, far down", "torch `OneCycleLR`"),
    Entry("FlatCosine(0.6)", "flat, then a cosine", "fastai `fit_flat_cos`"),
    Entry("WSD('25%', '1-sqrt')", "flat, and a fall at the end of the run", "transformers `warmup_stable_decay`"),
    Entry(
        "Sequence([Constant(), Cosine()], ['40ep'])",
        "any schedules after one another",
        "torch `SequentialLR`",
    ),
    Entry(
        "Lambda(halved_every_20_epochs)",
        "your own factor of the step",
        "torch `LambdaLR`",
        Plan(Lambda(halved_every_20_epochs)),
    ),
    Entry(
        "Multiplicative(a_little_less)",
        "your own factor from one step to the next",
        "torch `MultiplicativeLR`",
        Plan(Multiplicative(a_little_less)),
    ),
)
WARMUPS = (
    Entry("Warmup('20%')", "a straight line", "torch `LinearLR`, transformers' and timm's warmup"),
    Entry("Warmup('20%', shape='cosine')", "flat at both ends", 'transformers `warmup_type="cosine"` (WSD)'),
    Entry("Warmup('20%', shape='polynomial')", "a power of the time", "-"),
    Entry("Warmup('20%', shape='exponential')", "equal factors in equal times", "-"),
    Entry("Warmup('20%', shape='constant', start_factor=0.2)", "a low start", "torch `ConstantLR`"),
    Entry("Warmup('5%', shape='saturating')", "overlaps: 1 - exp(-t/n)", "pytorch_warmup `ExponentialWarmup`"),
    Entry("Warmup('2%', shape='radam')", "overlaps: RAdam's rectification", "pytorch_warmup `RAdamWarmup`"),
    Entry("Cooldown('20%')", "a last fall from whatever value was reached", "transformers' decay (WSD)"),
)


def draw(entry: Entry, path: Path) -> None:
    """Write the picture of an entry."""
    steps = np.arange(RUN.total_steps or 0)
    figure = Figure(figsize=(3.4, 1.9), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.plot(steps / 100, entry.resolved().resolve(RUN).lr(steps, BASE_LR), linewidth=1.8, color="#0072B2")
    axes.set_title(entry.call, fontsize=7.5, family="monospace")
    axes.set_ylim(0, 1.06 * BASE_LR)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def table(entries: Sequence[Entry]) -> list[str]:
    """Return entries as lines of a Markdown table."""
    rows = [
        f"| ![{entry.call}](images/gallery/{entry.picture}) | `{entry.call}` | {entry.words} | {entry.elsewhere} |"
        for entry in entries
    ]
    return ["| curve | call | what it does | elsewhere |", "| --- | --- | --- | --- |", *rows]


def page() -> str:
    """Return the page."""
    lines = [
        "# Gallery",
        "",
        f"Every schedule over 100 epochs of 100 steps, with a base lr of {BASE_LR}; the horizontal axis counts epochs.",
        "Each of these calls, except those with a function of your own, can be drawn over your own run:",
        "",
        "```console",
        '$ lrsched preview "Tanh()" --epochs 70 --steps-per-epoch 391',
        "```",
        "",
        *table(SCHEDULES),
        "",
        "## Warmup and cooldown",
        "",
        "They go before and after any schedule. Those that overlap multiply the schedule while it runs.",
        "",
        *table(WARMUPS),
    ]
    return "\n".join(lines) + "\n"


def main(docs: Path = DOCS) -> None:
    """Write the pictures to ``images/gallery`` and the page to ``gallery.md``."""
    folder = docs / "images" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    for entry in (*SCHEDULES, *WARMUPS):
        draw(entry, folder / entry.picture)
    (docs / "gallery.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
