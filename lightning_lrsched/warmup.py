"""What comes before and after a main schedule: warmup and cooldown."""

from dataclasses import KW_ONLY, dataclass
from decimal import Decimal
from fractions import Fraction

from lightning_lrsched.checks import check_choice, check_flag, check_number, refusal, store_number
from lightning_lrsched.phases import Level, Phase
from lightning_lrsched.room import short_repr
from lightning_lrsched.shapes import HOLD, Geometric, HalfCosine, Monomial, Rectified, Saturating, Shape, Straight
from lightning_lrsched.units import MOST_STEPS, DurationLike, plain_duration, round_half_up

_RAMPS: dict[str, Shape] = {"linear": Straight(), "cosine": HalfCosine(), "constant": HOLD}
_SHAPES = (*_RAMPS, "exponential", "polynomial", "saturating", "radam")
_OVERLAPPING = ("saturating", "radam")
_EXPONENTIAL_START = 0.01
_EXPONENTIAL_LEAST = 1e-12
_UNTIL_ONE = 60  # averaging times after which a factor that only approaches 1 has reached it in a float


@dataclass(frozen=True, repr=False)
class Warmup:
    r"""Growth of the lr from (near) zero to the start of the main schedule.

    With n warmup steps and shape s, step t = 0 .. n-1 uses the factor $s((t+1)/(n+1))$ of the main schedule's first
    value: the first update is not wasted, and the peak is reached once, by the main schedule at step n. With
    ``start_factor=f`` it uses $f + (1-f) s(t/n)$ instead, as torch and transformers do.

    With ``overlap=True`` the main schedule begins at step 0 and is multiplied by the factor $s((t+1)/n)$ while it
    runs, as pytorch_warmup does.

    Args:
        duration: length; ``500`` or ``"500 steps"``, ``"5ep"``, ``0.05`` or ``"5%"`` (of the run).
        shape: ``"linear"``, ``"cosine"``, ``"polynomial"`` ($x^p$), ``"exponential"`` (equal factors in equal times,
            from ``start_factor`` or 0.01), ``"constant"`` (``start_factor`` throughout), or, always with overlap,
            ``"saturating"`` ($1 - e^{-(t+1)/n}$) and ``"radam"`` (the rectification of RAdam, for a second moment that
            averages over n steps: $\beta_2 = 1 - 1/n$).
        start_factor: first factor, in [0, 1); at least 1e-12 for exponential, needed for constant.
        power: exponent p of the polynomial, above 0.
        overlap: let the main schedule run from step 0, multiplied by the factor.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Warmup("5%").phases(Level(1.0), updates=4)[0].level(0).scale
    0.2

    Source: Goyal et al., arXiv 1706.02677 (gradual and constant warmup); Ma & Yarats, arXiv 1910.04209 (overlap,
    saturating); Liu et al., arXiv 1908.03265 (RAdam).
    """

    duration: DurationLike
    shape: str = "linear"
    start_factor: float | None = None
    _: KW_ONLY
    power: float = 2.0
    overlap: bool = False

    __repr__ = short_repr

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        object.__setattr__(self, "duration", plain_duration(self.duration, "Warmup.duration"))
        check_choice("Warmup.shape", self.shape, _SHAPES, "Warmup('5%', shape='cosine')")
        store_number(self, "power", "Warmup('5%', shape='polynomial', power=2)", above=0.0, at_most=1000.0)
        check_flag("Warmup.overlap", self.overlap, "Warmup('5%', overlap=True)")
        if self.shape in _OVERLAPPING:
            object.__setattr__(self, "overlap", True)
        if self.start_factor is None:
            if self.shape == "constant":
                raise refusal("Warmup.start_factor", None, "given for shape='constant'", "start_factor=0.1")
            return
        example = f"Warmup('5%', shape={self.shape!r}, start_factor=0.1)"
        if self.overlap:
            raise refusal("Warmup.start_factor", self.start_factor, "left out with overlap", "Warmup('5%')")
        store_number(self, "start_factor", example, at_least=0.0, below=1.0)
        if self.shape == "exponential":
            store_number(self, "start_factor", example, at_least=_EXPONENTIAL_LEAST, below=1.0)

    @classmethod
    def untuned(cls, beta2: float = 0.999, shape: str = "linear") -> "Warmup":
        r"""Return the warmup that needs no length: from the $\beta_2$ of Adam, $n = 2/(1-\beta_2)$ steps.

        Args:
            beta2: Adam's second beta, in [0, 1).
            shape: ``"linear"``, ``"saturating"`` ($n = 1/(1-\beta_2)$) or ``"radam"`` (the same n).

        Raises:
            ValueError: if a value is out of its range, with a valid example.

        >>> Warmup.untuned(beta2=0.9)
        Warmup(duration=20, overlap=True)

        Source: Ma & Yarats, arXiv 1910.04209.
        """
        example = "Warmup.untuned(beta2=0.999)"
        check_choice("Warmup.untuned.shape", shape, ("linear", *_OVERLAPPING), "Warmup.untuned(shape='radam')")
        check_number("Warmup.untuned.beta2", beta2, example, at_least=0.0, below=1.0)
        steps = 1 / (1 - Fraction(Decimal(repr(float(beta2)))))
        duration = round_half_up(2 * steps if shape == "linear" else steps)
        if duration > MOST_STEPS:
            raise refusal("Warmup.untuned.beta2", beta2, f"less near 1, for at most {MOST_STEPS:.0e} steps", example)
        return cls(max(1, duration), shape, overlap=True)

    def phases(self, target: Level, updates: int) -> tuple[Phase, ...]:
        """Return the warmup of ``updates`` updates up to ``target``, the main schedule's first level."""
        exponential = self.shape == "exponential"
        factor = self.start_factor or (_EXPONENTIAL_START if exponential else 0.0)
        start = target.times(factor)
        shape = Geometric(1.0 / factor) if exponential else self._ramp()
        if self.start_factor is not None:
            return (Phase("warmup", updates, start, target, shape),)
        return (Phase("warmup", updates, start, target, shape, span=updates + 1, shift=1),)

    def damping(self, updates: int) -> Phase:
        """Return the factors of a warmup that overlaps the main schedule, as a phase between 0 and 1."""
        if self.shape == "saturating":
            return Phase("warmup", _UNTIL_ONE * updates, Level(0.0), Level(1.0), Saturating(), span=updates, shift=1)
        if self.shape == "radam":
            if updates < 3:
                raise refusal(
                    "Warmup.duration", self.duration, "at least 3 steps with shape='radam'", "Warmup.untuned()"
                )
            rectified = Rectified(1.0 - 1.0 / updates)
            return Phase("warmup", _UNTIL_ONE * updates, Level(0.0), Level(1.0), rectified, span=1)
        start = _EXPONENTIAL_START if self.shape == "exponential" else 0.0
        shape = Geometric(1.0 / start) if start else self._ramp()
        return Phase("warmup", updates, Level(start), Level(1.0), shape, span=updates, shift=1)

    def _ramp(self) -> Shape:
        """Return the easing of a shape that knows no level."""
        return _RAMPS.get(self.shape) or Monomial(float(self.power))


@dataclass(frozen=True, repr=False)
class Cooldown:
    """A last fall from the value that the main schedule has reached.

    Args:
        duration: length; ``500`` or ``"500 steps"``, ``"5ep"``, ``0.05`` or ``"5%"`` (of the run).
        shape: ``"linear"`` or ``"cosine"``.
        eta_min: lr at the end, absolute, at least 0.

    Raises:
        ValueError: if a value is out of its range, with a valid example.
    """

    duration: DurationLike
    shape: str = "linear"
    eta_min: float = 0.0

    __repr__ = short_repr

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        object.__setattr__(self, "duration", plain_duration(self.duration, "Cooldown.duration"))
        check_choice("Cooldown.shape", self.shape, ("linear", "cosine"), "Cooldown('10%', shape='cosine')")
        store_number(self, "eta_min", "Cooldown('10%', eta_min=1e-6)", at_least=0.0)

    def phases(self, before: Phase, updates: int) -> tuple[Phase, ...]:
        """Return the cooldown of ``updates`` updates from where the phase before it ends, used there already or not."""
        start, end, used = before.reached(), Level(0.0, float(self.eta_min)), int(before.lands)
        return (Phase("cooldown", updates, start, end, _RAMPS[self.shape], span=updates + used, shift=used),)


def as_warmup(value: "Warmup | DurationLike | None") -> Warmup | None:
    """Return a warmup from what a user may write for one: a `Warmup`, its duration, or None."""
    if value is None or isinstance(value, Warmup):
        return value
    plain_duration(value, "warmup")
    return Warmup(value)
