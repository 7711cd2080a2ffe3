"""Schedules that stay at the base lr and fall at the end."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from lightning_lrsched.checks import check_choice, store_number
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.schedules.floors import check_floor, floor_level, store_plain
from lightning_lrsched.shapes import HalfCosine, Monomial, PowerLaw, Shape, Straight
from lightning_lrsched.units import DurationLike

_DECAYS: dict[str, Shape] = {"linear": Straight(), "cosine": HalfCosine(), "1-sqrt": Monomial(0.5)}


@dataclass(frozen=True, repr=False)
class WSD(Schedule):
    r"""Warmup-stable-decay without its warmup, which the plan gives: the base lr, and a fall at the end of the run.

    The stable part fills the run, so that a run can be made longer by moving the fall.

    Args:
        decay: length T of the fall.
        shape: ``"linear"``, ``"cosine"``, ``"1-sqrt"`` ($1 - \sqrt{t/T}$) or ``"polynomial"`` ($(1 - t/T)^p$).
        power: exponent p of the polynomial, above 0.
        eta_min: lr at the end, absolute, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: lr at the end as a multiple of the base lr, in [0, 1].

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> WSD("20%", "1-sqrt")
    WSD(decay='20%', shape='1-sqrt')

    Source: Hu et al., arXiv 2404.06395; Hägele et al., arXiv 2405.18392 (1-sqrt).
    """

    decay: DurationLike
    shape: str = "linear"
    _: KW_ONLY
    power: float = 2.0
    eta_min: float = 0.0
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_plain(self, "decay")
        check_choice("WSD.shape", self.shape, (*_DECAYS, "polynomial"), "WSD('20%', '1-sqrt')")
        store_number(self, "power", "WSD('20%', 'polynomial', power=2)", above=0.0, at_most=1000.0)
        check_floor(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the stable part, if there is room for one, and the fall."""
        total = room.length(None, "WSD.total")
        updates = room.length(self.decay, "WSD.decay")
        if updates < total:
            yield Phase("stable", total - updates, Level(1.0))
        shape = _DECAYS.get(self.shape) or PowerLaw(float(self.power))
        yield Phase("decay", updates, Level(1.0), floor_level(self.eta_min, self.eta_min_ratio), shape)


@dataclass(frozen=True, repr=False)
class FlatCosine(Schedule):
    """The base lr for a share of the run, then a cosine to a floor.

    Args:
        pct_start: share of the schedule that is flat, in (0, 1).
        eta_min: floor as an absolute lr, at least 0. Give this or ``eta_min_ratio``.
        eta_min_ratio: floor as a multiple of the base lr, in [0, 1].

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> FlatCosine(0.75)
    FlatCosine()

    Source: fastai ``fit_flat_cos``.
    """

    pct_start: float = 0.75
    eta_min: float = 0.0
    _: KW_ONLY
    eta_min_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        store_number(self, "pct_start", "FlatCosine(0.75)", above=0.0, below=1.0)
        check_floor(self)

    def phases(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the flat part and the cosine."""
        total = room.length(None, "FlatCosine.total")
        flat = room.share(self.pct_start, total)
        if flat:
            yield Phase("flat", flat, Level(1.0))
        if flat < total:
            low = floor_level(self.eta_min, self.eta_min_ratio)
            yield Phase("cosine", total - flat, Level(1.0), low, HalfCosine())
