"""keras.optimizers.schedules."""

from lightning_lrsched import (
    SGDR,
    Cosine,
    Exponential,
    PiecewiseConstant,
    Plan,
    Polynomial,
    Power,
)
from tests.golden.adapters import Ask, Case, Cases, adapter, by_function, exact, growing, ramp, restarts
from tests.golden.pieces import Piece, flat, joined


@adapter("CosineDecay")
def cosine_decay(
    ask: Ask,
    *,
    decay_steps: int,
    initial_learning_rate: float | None = None,
    alpha: float = 0.0,
    warmup_target: float | None = None,
    warmup_steps: int = 0,
) -> Case:
    initial = ask.base_lr if initial_learning_rate is None else initial_learning_rate
    if warmup_target is None:
        return Case(Plan(Cosine(eta_min_ratio=alpha)), initial, decay_steps)
    warmup = ramp(warmup_steps, initial / warmup_target)
    return Case(Plan(Cosine(eta_min_ratio=alpha), warmup), warmup_target, warmup_steps + decay_steps)


@adapter("CosineDecayRestarts")
def cosine_decay_restarts(
    ask: Ask,
    *,
    first_decay_steps: int,
    initial_learning_rate: float | None = None,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
) -> Case:
    initial = ask.base_lr if initial_learning_rate is None else initial_learning_rate
    fineness, lengths = growing(ask, first_decay_steps, t_mul)
    total = sum(lengths)
    if t_mul >= 1.0 and (alpha == 0.0 or m_mul == 1.0) and m_mul <= 1.0:
        main = SGDR(lengths[0], t_mul, gamma=m_mul, eta_min_ratio=alpha)
        return Case(Plan(main), initial, total, fineness)
    peaks = [m_mul**i * (1.0 - alpha) + alpha for i in range(len(lengths))]
    return restarts(ask, initial, lengths, peaks, [alpha * initial], total=total, fineness=fineness)


@adapter("PiecewiseConstantDecay")
def piecewise_constant(ask: Ask, *, boundaries: list[int], values: list[float]) -> Cases:
    # A boundary belongs to the value before it.
    ends = [*(boundary + 1 for boundary in boundaries), max(ask.horizon, boundaries[-1] + 2)]
    begins = [0, *ends[:-1]]
    return joined([flat(e - b, v) for b, e, v in zip(begins, ends, values, strict=True)])


@adapter("ExponentialDecay")
def keras_exponential(
    ask: Ask,
    *,
    decay_steps: int,
    decay_rate: float,
    initial_learning_rate: float | None = None,
    staircase: bool = False,
) -> Case:
    main = Exponential(decay_rate, decay_steps, staircase=staircase)
    return Case(Plan(main), initial_learning_rate or ask.base_lr)


@adapter("PolynomialDecay")
def keras_polynomial(
    ask: Ask,
    *,
    decay_steps: int,
    initial_learning_rate: float | None = None,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,
) -> Cases:
    initial, end = initial_learning_rate or ask.base_lr, end_learning_rate
    if not cycle:
        return Case(Plan(Polynomial(decay_steps, power, eta_min=end)), initial)
    if power == 1.0:
        # Every cycle is a longer line, used from where the one before it has ended, one step later.
        pieces = [Piece(decay_steps + 1, initial, initial + (end - initial) * (1 + 1 / decay_steps))]
        pieces[0] = Piece(decay_steps, initial, end)
        for i in range(2, -(-ask.horizon // decay_steps) + 1):
            begin, length = (i - 1) * decay_steps + 1, i * decay_steps
            pieces += [flat(1, end), Piece(decay_steps - 1, end + (initial - end) * (1 - begin / length), end)]
        return joined(pieces)

    def factor(t: float) -> float:
        length = decay_steps * max(1, -(-t // decay_steps))
        return float(((initial - end) * (1 - t / length) ** power + end) / initial)

    return by_function("cycles that are the ends of longer and longer polynomials", factor, initial)


@adapter("InverseTimeDecay")
def keras_inverse_time(
    ask: Ask,
    *,
    decay_steps: int,
    decay_rate: float,
    initial_learning_rate: float | None = None,
    staircase: bool = False,
) -> Case:
    initial = initial_learning_rate or ask.base_lr
    if staircase:
        turns = list(range(decay_steps, max(ask.horizon, decay_steps + 1), decay_steps))
        values = [1 / (1 + decay_rate * i) for i in range(len(turns) + 1)]
        return Case(Plan(PiecewiseConstant(turns, values)), initial)
    scale = exact(decay_steps) / exact(decay_rate)
    return Case(Plan(Power(int(scale * scale.denominator))), initial, None, scale.denominator)
