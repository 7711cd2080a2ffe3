"""Curves given stretch by stretch, as plans: straight, flat and cosine pieces, products of them, and chains."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from lightning_lrsched import (
    SGDR,
    Constant,
    Cooldown,
    Cosine,
    Cyclic,
    Lambda,
    Linear,
    MultiStep,
    OneCycle,
    PiecewiseConstant,
    PiecewiseLinear,
    Plan,
    Polynomial,
    RunLength,
    Schedule,
    Sequence,
    Step,
    Warmup,
)
from tests.golden.adapters import Case, Differs, ramp, same, steps_of


@dataclass(frozen=True)
class Piece:
    """A stretch of a curve between two absolute levels: ``"constant"``, ``"linear"`` or ``"cosine"``."""

    length: int
    start: float
    end: float
    shape: str = "linear"

    @property
    def flat(self) -> bool:
        """Whether it stays where it starts."""
        return self.shape == "constant" or self.start == self.end


def flat(length: int, level: float) -> Piece:
    """Return a stretch that stays at a level."""
    return Piece(length, level, level, "constant")


def joined(pieces: list[Piece], fineness: int = 1) -> list[Case]:
    """Return pieces in a row as a main schedule, and as warmup, main and cooldown where that is what they are."""
    pieces = _merged(pieces)
    base_lr = max(max(piece.start, piece.end) for piece in pieces)
    chained = Case(Plan(_chain(pieces, base_lr)), base_lr, None, fineness)
    natural = _natural(pieces, fineness)
    return [chained] if natural is None else [natural, chained]


def _natural(pieces: list[Piece], fineness: int) -> Case | None:
    """Return pieces as warmup, main schedule and cooldown, or None if that is not what they are."""
    total, warmup, cooldown, main = sum(piece.length for piece in pieces), None, None, list(pieces)
    if len(main) > 1 and not all(piece.flat for piece in main) and main[0].start < main[1].start:
        first = main.pop(0)
        if not first.flat and not same(first.end, main[0].start):
            return None
        warmup = ramp(first.length, first.start / main[0].start, "constant" if first.flat else first.shape)
    if len(main) > 1 and main[-1].end < main[-1].start and same(main[-2].end, main[-1].start):
        last = main.pop()
        cooldown = Cooldown(last.length, shape=last.shape, eta_min=last.end)
    base_lr = main[0].start
    if not base_lr or (len(main) > 1 and not all(piece.flat for piece in main)):
        return None
    return Case(Plan(_chain(main, base_lr), warmup, cooldown), base_lr, total, fineness)


def _merged(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces without empty ones, and with constant neighbours of one level made one."""
    out: list[Piece] = []
    for piece in pieces:
        if piece.length < 1:
            continue
        if out and out[-1].flat and piece.flat and same(out[-1].end, piece.start):
            out.append(flat(out.pop().length + piece.length, piece.start))
        else:
            out.append(piece)
    if len(out) > 1 and out[-1].flat and not out[-2].flat and same(out[-2].end, out[-1].start):
        out.pop()
    return out


def _chain(pieces: list[Piece], base_lr: float) -> Schedule:
    """Return the main schedule that pieces make."""
    ends = [sum(piece.length for piece in pieces[: i + 1]) for i in range(len(pieces))]
    if len(pieces) > 1 and all(piece.flat for piece in pieces):
        return PiecewiseConstant(ends[:-1], [piece.start / base_lr for piece in pieces])
    straight = all(piece.flat or piece.shape == "linear" for piece in pieces)
    if len(pieces) > 1 and straight and all(same(one.end, other.start) for one, other in pairwise(pieces)):
        return PiecewiseLinear(ends, [pieces[0].start / base_lr, *(piece.end / base_lr for piece in pieces)])
    parts = [_part(piece, base_lr) for piece in pieces]
    return parts[0] if len(parts) == 1 else Sequence(parts, ends[:-1])


def _part(piece: Piece, base_lr: float) -> Schedule:
    """Return the schedule of one piece."""
    if piece.flat:
        return Constant(piece.start / base_lr)
    if piece.shape == "linear":
        return Linear(piece.length, start_factor=piece.start / base_lr, end_factor=piece.end / base_lr)
    if same(piece.start, base_lr):
        return Cosine(piece.length, piece.end)
    if not piece.start:
        raise Differs("a cosine that rises from zero is the shape of a warmup here")
    return SGDR(periods=[piece.length], max_ratios=[piece.start / base_lr], eta_min=piece.end)


def plateaus(warm: int, warmup: Warmup | None, drops: Iterable[int], gamma: float) -> Plan:
    """Return constant plateaus that drop at steps counted from 0, behind a warmup of ``warm`` steps."""
    drops = sorted(drops)
    passed = sum(drop <= warm for drop in drops)
    if not passed or (not warm and 0 not in drops):
        return Plan(MultiStep([drop - warm for drop in drops], gamma) if drops else Constant(), warmup)
    # A warmup leads to the main schedule's first value; here it leads to the base lr, which no plateau uses.
    later = [drop - warm for drop in drops[passed:]]
    turns = sorted(set(later))
    values = [gamma ** (passed + sum(drop <= turn for drop in later)) for turn in turns]
    main: Schedule = PiecewiseConstant(turns, [gamma**passed, *values]) if turns else Constant(gamma**passed)
    if not warm:
        return Plan(main)
    start = warmup.start_factor if warmup is not None else None
    if start is None:
        raise Differs("a milestone inside a warmup that has no start_factor")
    return Plan(Sequence([Linear(warm, start_factor=start, end_factor=1.0), main], [warm]))


Stretch = tuple[int, int, float, float]
"""Begin, end (exclusive), and the factors at begin and at end of a straight stretch."""


def product(factors: list[list[Stretch]], base_lr: float) -> list[Case]:
    """Return the product of straight lines of which no more than one slopes at a time."""
    turns = sorted({turn for line in factors for begin, end, _, _ in line for turn in (begin, end)})
    pieces = []
    for begin, end in pairwise(turns):
        start = stop = base_lr
        slopes = 0
        for line in factors:
            first, last = _between(line, begin, end)
            slopes += first != last
            start, stop = start * first, stop * last
        if slopes > 1:
            raise Differs("a product of two slopes")
        pieces.append(Piece(end - begin, start, stop, "linear" if start != stop else "constant"))
    return joined(pieces)


def _between(line: list[Stretch], begin: int, end: int) -> tuple[float, float]:
    """Return the factors of a line at the begin and at the end of a stretch; its last factor goes on without end."""
    for first, last, low, high in line:
        if first <= begin and end <= last:
            slope = (high - low) / (last - first)
            return low + slope * (begin - first), low + slope * (end - first)
    return line[-1][3], line[-1][3]


@dataclass(frozen=True)
class Factor:
    """Another schedule's factor, so that it can be cut where its own class would be refused."""

    main: Schedule

    def __call__(self, step: int) -> float:
        """Return the factor of a step."""
        level = Plan(self.main).resolve(RunLength()).level_at(step)
        if level.offset:
            raise Differs("a schedule with an absolute floor that is cut before its end")
        return level.scale


def cut(main: Schedule, slot: int) -> Schedule:
    """Return a schedule that ends after ``slot`` steps with the values that it has up to there."""
    cutter = _CUTTERS.get(type(main))
    return main if cutter is None else cutter(main, slot)


def _cut_line(main: Linear, slot: int) -> Schedule:
    total = steps_of(main.total_iters or 0)
    if total <= slot:
        return main
    end = main.start_factor + (main.end_factor - main.start_factor) * slot / total
    return Linear(slot, start_factor=main.start_factor, end_factor=end)


def _cut_power(main: Polynomial, slot: int) -> Schedule:
    if steps_of(main.total_iters or 0) <= slot:
        return main
    if main.power != 1 or main.eta_min:
        return Lambda(Factor(main))
    return _cut_line(Linear(main.total_iters), slot)


def _cut_sequence(main: Sequence, slot: int) -> Schedule:
    kept = [turn for turn in main.milestones if steps_of(turn) < slot]
    if len(kept) == len(main.milestones):
        begin = steps_of(kept[-1]) if kept else 0
        return replace(main, schedules=[*main.schedules[:-1], cut(main.schedules[-1], slot - begin)])
    if not kept:
        return cut(main.schedules[0], slot)
    parts = [*main.schedules[: len(kept)], cut(main.schedules[len(kept)], slot - steps_of(kept[-1]))]
    return replace(main, schedules=parts, milestones=kept)


def _cut_plateaus(main: MultiStep, slot: int) -> Schedule:
    kept = [turn for turn in main.milestones if steps_of(turn) < slot]
    return replace(main, milestones=kept) if kept else Constant()


def _cut_cosine(main: Cosine, slot: int) -> Schedule:
    if main.T_max is None or steps_of(main.T_max) <= slot:
        return main
    if main.num_cycles != 0.5 or main.exponent != 1 or main.k_decay != 1:
        return Lambda(Factor(main))
    return SGDR(periods=[main.T_max], eta_min=main.eta_min, eta_min_ratio=main.eta_min_ratio)


def _cut_restarts(main: SGDR, slot: int) -> Schedule:
    if main.T_0 is None or steps_of(main.T_0) <= slot:
        return main
    return SGDR(periods=[main.T_0], eta_min=main.eta_min)


def _cut_cycles(main: Cyclic, slot: int) -> Schedule:
    up = steps_of(main.step_size_up)
    if up <= slot:
        return main
    if main.mode == "exp_range":
        return Lambda(Factor(main))
    return _cut_line(Linear(up, start_factor=main.base_ratio, end_factor=1.0), slot)


def _cut_one_cycle(main: OneCycle, slot: int) -> Schedule:
    return Lambda(Factor(main)) if steps_of(main.total_steps or 0) > slot else main


def _cut_constant(main: Constant, slot: int) -> Schedule:
    return Constant(main.factor) if steps_of(main.total_iters or slot) >= slot else main


def _cut_steps(main: Step, slot: int) -> Schedule:
    return Constant() if steps_of(main.step_size) >= slot else main


_CUTTERS: dict[type, Callable[..., Schedule]] = {
    Linear: _cut_line,
    Polynomial: _cut_power,
    Sequence: _cut_sequence,
    MultiStep: _cut_plateaus,
    Constant: _cut_constant,
    Step: _cut_steps,
    Cosine: _cut_cosine,
    SGDR: _cut_restarts,
    Cyclic: _cut_cycles,
    OneCycle: _cut_one_cycle,
}


def first_below(start: float, end: float, rate: float, steps: int) -> int:
    """Return the first step at which an exponential curve has reached ``end``."""
    t = 0
    while (start * rate ** (t / steps) > end) if rate < 1 else (start * rate ** (t / steps) < end):
        t += 1
    return t
