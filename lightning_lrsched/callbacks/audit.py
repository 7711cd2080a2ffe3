"""The auditor: tells when something else than the plan has set the lr of a real step."""

from collections.abc import Callable

from lightning_lrsched.scheduler import RealStepScheduler


class Auditor:
    """Compares the lr that each real step used with the plan, and tells the first difference; it changes nothing.

    An observer of a `RealStepScheduler`: add it to its ``observers``.

    Args:
        scheduler: the scheduler whose plan holds.
        tell: called once with the message.
    """

    def __init__(self, scheduler: RealStepScheduler, tell: Callable[[str], None]) -> None:
        """Begin with nothing found."""
        self.found = False
        self._scheduler = scheduler
        self._tell = tell

    def __call__(self, step: int, lrs: list[float]) -> None:
        """Look at a real step that was just made with these lrs, one for each group."""
        if self.found or self._scheduler.holds(lrs):
            return
        strays = list(self._scheduler.strays())
        if strays:
            self.found = True
            index, expected = strays[0]
            groups = self._scheduler.optimizer.param_groups
            name = groups[index].get("name", index)
            others = "" if len(strays) == 1 else f" (and {len(strays) - 1} more of {len(groups)} groups)"
            self._tell(
                f"Real step {step} used lr {lrs[index]:g} in parameter group {name!r}{others}, and the plan says "
                f"{expected:g}: another scheduler, a callback or your own code sets param_groups[{index}]['lr']. "
                "Training goes on, and this is told once. Remove what sets it, or leave the group to it: "
                f"LearningRateScheduler(..., groups={{{name!r}: None}})"
            )
