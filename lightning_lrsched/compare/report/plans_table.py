"""The plans side by side: what was written, and the phases it became; what differs is marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_lrsched.compare.plans import PlannedPhase, plan_of
from lightning_lrsched.compare.runs import RunRecord
from lightning_lrsched.compare.seeds import plans

_MOST_PHASES = 12
_GROUP = "schedule/groups."  # what a parameter group follows in place of the plan


@dataclass(frozen=True)
class PlanRow:
    """One line of the table.

    Args:
        name: what it tells of each plan.
        cells: one for each plan, ``-`` where a plan has no such part.
    """

    name: str
    cells: tuple[str, ...]

    @property
    def marked(self) -> tuple[bool, ...]:
        """Whether each cell differs from the first plan's."""
        return tuple(cell != self.cells[0] for cell in self.cells)

    @property
    def differs(self) -> bool:
        """Whether the plans differ in it."""
        return any(self.marked)


def plan_rows(records: Sequence[RunRecord]) -> tuple[list[list[int]], list[PlanRow]]:
    """Return the places of the runs of each plan, and the lines of the table; runs without a plan are left out.

    Parameters of a part (``main.T_0``) have a line of their own only where the plans differ in them.
    """
    groups = plans(records)
    written = [dict(plan_of(records[group[0]].params or {})) for group in groups]
    keys = sorted({key for plan in written for key in plan}, key=_order)
    rows = [PlanRow(key, tuple(plan.get(key, "-") for plan in written)) for key in keys]
    rows = [row for row in rows if "." not in row.name or row.differs]
    phases = [_phases(records[group[0]]) for group in groups]
    for index in range(min(_MOST_PHASES, max(map(len, phases), default=0))):
        rows.append(PlanRow(f"phase {index + 1}", tuple(_cell(plan, index) for plan in phases)))
    more = [len(plan) - _MOST_PHASES for plan in phases]
    if any(count > 0 for count in more):
        rows.append(PlanRow("and", tuple(f"{count} more" if count > 0 else "-" for count in more)))
    return groups, rows


def _order(key: str) -> tuple[int, str]:
    """Return where a part of a plan stands: the schedule first, then the rest by name."""
    first = ("main", "warmup", "cooldown", "update", "base_lr", "total_steps", "steps_per_epoch")
    part = key.partition(".")[0]
    return (first.index(part) if part in first else len(first), key)


def _phases(record: RunRecord) -> list[str]:
    """Return each phase in words, with the lr that was recorded at its first and its last step."""
    return [_told(phase, record) for phase in record.phases]


def _told(phase: PlannedPhase, record: RunRecord) -> str:
    """Return a phase in words."""
    last = None if phase.stop is None else max(phase.start, phase.stop - 1)
    steps = f"{phase.start} …" if last is None else f"{phase.start} to {last}"
    apart = tuple(f"/{key.removeprefix(_GROUP)}" for key in record.params or () if key.startswith(_GROUP))
    lr = next((curve for key, curve in (record.lr or {}).items() if not key.endswith(apart)), None)
    ends = [] if lr is None else [lr.at(step) for step in (phase.start, last) if step is not None]
    lrs = " → ".join(dict.fromkeys(f"{value:.3g}" for value in ends if value is not None))
    return f"{phase.name}, cycle {phase.cycle}: steps {steps}" + (f", lr {lrs}" if lrs else "")


def _cell(phases: Sequence[str], index: int) -> str:
    """Return a phase of a plan, if it has that many."""
    return phases[index] if index < len(phases) else "-"
