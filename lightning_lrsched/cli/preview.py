"""``lrsched preview``: the learning rate of a plan, drawn without training."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lightning_lrsched.cli.arguments import CommandError, check_installed, check_picture, count, positive
from lightning_lrsched.cli.config import Config, peak_lr, read_config
from lightning_lrsched.cli.output import open_console
from lightning_lrsched.compare import run_colors
from lightning_lrsched.expression import parse_part, parse_schedule
from lightning_lrsched.plan import UPDATES, Plan
from lightning_lrsched.preview import Curve, phase_table, preview_figure, shown_steps, sign_of, terminal_chart
from lightning_lrsched.room import Main, Schedule
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import RunLength
from lightning_lrsched.warmup import as_warmup

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = """\
examples:
  lrsched preview "SGDR(T_0='10ep', T_mult=2)" --warmup 5% --epochs 70 --steps-per-epoch 391 --lr 0.1 -o curve.png
  lrsched preview "Cosine()" "SGDR('10ep', T_mult=2)" --epochs 70 --steps-per-epoch 100
  lrsched preview "WSD('20%')" --warmup "Warmup('2%', shape='cosine')" --total-steps 100000
  lrsched preview "StepLR(step_size=30)" "CosineAnnealingLR(T_max=90)" --epochs 90 --steps-per-epoch 100 --warmup 5ep
  lrsched preview "TorchScheduler(LinearLR(total_iters=500), interval='step')" --total-steps 10000
  lrsched preview --config config.yaml --steps-per-epoch 391

Schedules of this package are drawn from their formulas, however long the run is. A scheduler of torch is run once, as
often as the fit would advance it, some microseconds each time. Plateau cannot be drawn: only training knows the metric.

exit codes: 0 done, 2 refused (the message says why)
"""
_LR = 0.1
_LEAST_WIDTH = 60
_LENGTHS = "On this command line: --total-steps 10000, or --epochs 70 --steps-per-epoch 391"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lrsched preview``."""
    add = parser.add_argument
    add(
        "schedules",
        nargs="*",
        metavar="SCHEDULE",
        help="a call, also of a scheduler of torch; several are laid over one another",
    )
    add("--config", type=Path, metavar="FILE", help="a LightningCLI file; the other options override what it says")
    add("--warmup", metavar="W", help="its length (500, 5ep, 5%%), or a call such as \"Warmup('5%%', shape='cosine')\"")
    add("--cooldown", metavar="C", help="the same for a fall at the end of the run, or a call of Cooldown")
    add("--update", choices=UPDATES, help="when the lr changes (default: step)")
    add("--epochs", type=count, metavar="N", help="length of the run, with --steps-per-epoch")
    add("--steps-per-epoch", type=count, metavar="N", help="optimizer steps of an epoch")
    add("--total-steps", type=count, metavar="N", help="length of the run in optimizer steps")
    add("--lr", type=positive, metavar="X", help=f"peak lr (default: the file's optimizer, else {_LR})")
    add("-o", "--output", type=Path, metavar="FILE", help="also draw a picture, as .png, .svg or .pdf")


def preview(args: argparse.Namespace) -> None:
    """Print the chart and the phases of each schedule, and write the picture if one is asked for."""
    check_installed("cli", "plotext", "rich")
    if args.output is not None:
        check_installed("plot", "matplotlib")
        check_picture(args.output, "--output", "curve.png")
    try:
        curves = _curves(args)
    except ValueError as refused:
        hint = f". {_LENGTHS}" if "unknown" in str(refused) or "no known end" in str(refused) else ""
        raise CommandError(f"{refused}{hint}") from refused
    colors = run_colors(len(curves))
    _print(curves, colors)
    if args.output is not None:
        try:
            preview_figure(curves, colors).savefig(args.output, dpi=150)
        except OSError as error:
            raise CommandError(f"cannot write the picture: {error}") from error
        sys.stdout.write(f"{args.output.resolve()}\n")


def _curves(args: argparse.Namespace) -> list[Curve]:
    """Return the curves of all schedules that the arguments and the file name.

    Raises:
        CommandError: if there is no schedule, or a length is missing.
        ValueError: if a part of a plan is refused.
    """
    config = Config({}, None, None, None) if args.config is None else read_config(args.config)
    run = _run(args, config)
    mains, settings = _mains(args, config), _settings(args, config)
    lr = args.lr or peak_lr(config, args.config, _LR)
    own = ", ".join(str(name) for name, schedule in (settings["groups"] or {}).items() if schedule is not None)
    if own:
        sys.stderr.write(f"{args.config} has schedules for single groups ({own}), which are not drawn\n")
    resolved = [_resolve(main, settings, run, lr) for main in mains]
    stop = run.total_steps or max(shown_steps(timeline) for _, timeline in resolved)
    if run.total_steps is None:
        sys.stderr.write(f"the run has no known end: its first {stop} steps are shown. {_LENGTHS}\n")
    curves = [Curve(name, timeline, lr, stop, run.steps_per_epoch) for name, timeline in resolved]
    for curve in curves:
        _check_finite(curve)
    return curves


def _check_finite(curve: Curve) -> None:
    """Refuse a plan whose lr grows beyond all numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        _, lrs = curve.points()
    if not np.isfinite(lrs).all():
        raise CommandError(f"the lr of {curve.name} grows beyond {sys.float_info.max:.0e}, so it cannot be drawn")


def _run(args: argparse.Namespace, config: Config) -> RunLength:
    """Return the length of the run: what the command line says, else what the file says."""
    per_epoch = RunLength(None, args.steps_per_epoch or config.callback.get("steps_per_epoch")).steps_per_epoch
    if args.total_steps and args.epochs:
        raise CommandError("--total-steps and --epochs both give the length of the run. Pass one of them")
    if args.total_steps:
        return RunLength(args.total_steps, per_epoch)
    epochs = args.epochs or config.max_epochs
    given = None if args.epochs else config.callback.get("total_steps")
    limits = [] if args.epochs or config.max_steps is None else [config.max_steps]
    if epochs and per_epoch:
        limits.append(epochs * per_epoch)
    if epochs and not (limits or given):
        raise CommandError(
            f"the run has {epochs} epochs of unknown length. Pass the optimizer steps of one, for example "
            "--steps-per-epoch 391, or the whole run, for example --total-steps 10000"
        )
    return RunLength(given or min(limits, default=None), per_epoch)


def _mains(args: argparse.Namespace, config: Config) -> list[Main]:
    """Return the main schedule of the file and those of the command line."""
    mains = [parse_schedule(text) for text in args.schedules]
    if args.config is not None:
        mains.insert(0, _file_schedule(config))
    if not mains:
        raise CommandError("what shall be drawn? Pass a schedule, for example \"SGDR('10ep', T_mult=2)\", or --config")
    return mains


def _settings(args: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Return what all schedules share: the command line's warmup, cooldown and update, else the file's."""
    parts: dict[str, Any] = {
        name: config.callback.get(name) if text is None else parse_part(text)
        for name, text in (("warmup", args.warmup), ("cooldown", args.cooldown))
    }
    update = args.update or config.callback.get("update", "step")
    return {**parts, "update": update, "groups": config.callback.get("groups")}


def _resolve(main: Main, settings: Mapping[str, Any], run: RunLength, lr: float) -> tuple[str, Timeline]:
    """Return what the legend calls a schedule, and its lrs in the run; one that torch drives is run for them."""
    warmup, cooldown, update = (settings[name] for name in ("warmup", "cooldown", "update"))
    if isinstance(main, Schedule):
        plan = Plan(main, warmup, cooldown)
        return _name(main, plan.warmup, plan.cooldown), plan.resolve(run, update)
    from lightning_lrsched.torch_schedules import Driven, check_alone  # torch takes its time

    driven = cast(Driven, main)
    check_alone(driven, cooldown, update, settings["groups"])
    return _name(driven, as_warmup(warmup), None), driven.resolve(run, lr, warmup)


def _file_schedule(config: Config) -> Main:
    """Return the main schedule of a file."""
    main: Main | None = config.callback.get("main")
    if main is None:
        raise CommandError(
            "the LearningRateScheduler of the file has no main schedule: it follows the scheduler that the module "
            "returns, which only training knows"
        )
    return main


def _name(main: Main, warmup: object, cooldown: object) -> str:
    """Return a plan as it was asked for."""
    parts = [f"{name}={part}" for name, part in (("warmup", warmup), ("cooldown", cooldown)) if part]
    return ", ".join([str(main), *parts])


def _print(curves: Sequence[Curve], colors: Sequence[str]) -> None:
    """Print the chart as wide as the terminal is, and a table of phases for each curve."""
    from rich.text import Text

    console = open_console()
    console.width = max(console.width, _LEAST_WIDTH)
    hues = _terminal_colors(console, colors)
    ascii_only = console.options.ascii_only
    sys.stdout.write(terminal_chart(curves, hues, console.width, ascii_only=ascii_only) + "\n")
    for index, (curve, color) in enumerate(zip(curves, colors, strict=True)):
        sign = sign_of(index) if ascii_only or (hues is None and len(curves) > 1) else "●"
        console.print(Text.assemble((sign, color), f" {curve.name}"), soft_wrap=True)
        console.print(phase_table(curve))


def _terminal_colors(console: "Console", colors: Sequence[str]) -> list[int] | None:
    """Return the nearest of the terminal's 256 colours for each; None where it shows none."""
    from rich.color import Color, ColorSystem

    if not console.is_terminal or console.no_color or console.color_system is None:
        return None
    return [Color.parse(color).downgrade(ColorSystem.EIGHT_BIT).number or 0 for color in colors]
