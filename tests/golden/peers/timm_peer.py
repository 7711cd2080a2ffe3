"""timm.scheduler."""

from lightning_lrsched import SGDR, Constant, Cooldown, Cosine, Plan, Step
from tests.golden.adapters import Ask, Case, Differs, NotBuilt, adapter, growing, not_built, plateaus, ramp, restarts

not_built("Polynomial", "PolyLRScheduler")
not_built("Tanh", "TanhLRScheduler")
not_built("Plateau", "PlateauLRScheduler")

_UNDER_WAY = "the main schedule begins at its own start here, not as if it had run during the warmup"


@adapter("CosineLRScheduler")
def cosine(
    ask: Ask,
    *,
    t_initial: int,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    k_decay: float = 1.0,
) -> Case:
    if k_decay != 1.0:
        raise NotBuilt("k_decay")
    if warmup_t and not warmup_prefix:
        raise Differs(_UNDER_WAY)
    if cycle_limit < 1:
        raise Differs("a schedule of no cycle")
    fineness, lengths = growing(ask, t_initial, cycle_mul, cycle_limit)
    warmup = ramp(warmup_t * fineness, warmup_lr_init / ask.base_lr)
    warm, whole = warmup_t * fineness, sum(lengths)
    if len(lengths) == 1:
        return Case(Plan(Cosine(eta_min=lr_min), warmup), ask.base_lr, warm + whole, fineness)
    if len(lengths) < cycle_limit and cycle_mul >= 1:
        plan = Plan(SGDR(lengths[0], cycle_mul, gamma=cycle_decay, eta_min=lr_min), warmup)
        return Case(plan, ask.base_lr, warm + whole, fineness)
    peaks = [cycle_decay**i for i in range(len(lengths))]
    lone = restarts(ask, ask.base_lr, lengths, peaks, [lr_min])
    return Case(Plan(lone.plan.main, warmup), ask.base_lr, warm + whole, fineness)


@adapter("StepLRScheduler")
def step(
    ask: Ask,
    *,
    decay_t: int,
    decay_rate: float = 1.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
) -> Case:
    warmup = ramp(warmup_t, warmup_lr_init / ask.base_lr)
    if warmup_prefix or not warmup_t:
        return Case(Plan(Step(decay_t, decay_rate), warmup), ask.base_lr)
    drops = range(decay_t, max(ask.horizon, decay_t) + 1, decay_t)
    return Case(plateaus(warmup_t, warmup, drops, decay_rate), ask.base_lr)


@adapter("MultiStepLRScheduler")
def multi_step(
    ask: Ask,
    *,
    decay_t: list[int],
    decay_rate: float = 1.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
) -> Case:
    # The peer asks whether t + 1 has passed a milestone, so each drop comes one step before it.
    shift = warmup_t - 1 if warmup_prefix else -1
    drops = [milestone + shift for milestone in decay_t]
    return Case(plateaus(warmup_t, ramp(warmup_t, warmup_lr_init / ask.base_lr), drops, decay_rate), ask.base_lr)


@adapter("WSDLRScheduler")
def warmup_stable_decay(
    ask: Ask,
    *,
    t_initial: int,
    decay_t: int,
    lr_min: float = 0.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    decay_fn: str = "1-sqrt",
    stable_fn: str = "constant",
    decay_power: float = 1.0,
    decay_ratio: float = 0.1,
    stable_power: float = 0.5,
    stable_timescale: float = 1.0,
) -> Case:
    if decay_fn not in ("linear", "cosine") or stable_fn != "constant":
        raise NotBuilt("WSD")
    warmup = ramp(warmup_t, warmup_lr_init / ask.base_lr)
    total = t_initial + decay_t + (warmup_t if warmup_prefix else 0)
    return Case(Plan(Constant(), warmup, Cooldown(decay_t, decay_fn, lr_min)), ask.base_lr, total)
