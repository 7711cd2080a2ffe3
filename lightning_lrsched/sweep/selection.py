"""Chooses by a rule: which candidates are trained for it, what they gave, and which runs of the sweep remain."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypeAlias

from lightning.pytorch.callbacks import Checkpoint

from lightning_lrsched.compare import CompareError, RunRecord, Selection, completed_ends, load_runs, open_store
from lightning_lrsched.configs import ConfigError
from lightning_lrsched.sweep.combinations import Combination, combinations, shared_fingerprint
from lightning_lrsched.sweep.config import SweepConfig
from lightning_lrsched.sweep.rule import Rule
from lightning_lrsched.sweep.store import finished_runs

Group: TypeAlias = tuple[Hashable, ...]
"""What a choice is made for: a schedule, and its warmup or lr where that is not chosen."""

_AXES = ("warmups", "lrs")


@dataclass(frozen=True)
class Choice:
    """What the rule chose for one schedule.

    Args:
        name: what it was chosen for, such as ``"sgdr"`` or ``"sgdr, warmup 5ep"``.
        chosen: the best candidate, such as ``"lr 0.3"``.
        values: mean of the metric over the seeds that choose, by candidate.
    """

    name: str
    chosen: str
    values: Mapping[str, float]


def selecting(config: SweepConfig) -> SweepConfig:
    """Return the sweep of the candidates: in an experiment of its own, with the seeds that choose, no checkpoints."""
    kept = {
        name: tuple(path for path in paths if not issubclass(path.load(), Checkpoint))
        for name, paths in config.callbacks.items()
    }
    experiment = f"{config.experiment}-select"
    return replace(config, experiment=experiment, seeds=config.select.seeds, callbacks=kept, select=None)


def candidates(config: SweepConfig) -> list[Combination]:
    """Return the runs that choose: those of every schedule for which there is more than one candidate."""
    if config.select is None:
        return []
    found = combinations(selecting(config))
    options: dict[Group, set[Group]] = {}
    for each in found:
        options.setdefault(_group(each, config.select), set()).add(_option(each, config.select))
    return [each for each in found if len(options[_group(each, config.select)]) > 1]


def selected(config: SweepConfig, uri: str) -> tuple[list[Combination], list[Choice]]:
    """Return the runs of a sweep that the rule leaves, and what was chosen; without a rule all runs.

    Args:
        config: the sweep, whose candidates have finished.
        uri: where their runs are.

    Raises:
        ConfigError: if a candidate has not finished, or none of a schedule has a finite value.
    """
    wanted, tried, rule = combinations(config), candidates(config), config.select
    if not tried:
        return wanted, []
    values = _values(config, tried, uri)
    best: dict[Group, Group] = {}
    choices = []
    groups = _by_group(tried, rule)
    several = Counter(group[0] for group in groups)
    for group, options in groups.items():
        means = {option: fmean(values[each.fingerprint] for each in runs) for option, runs in options.items()}
        best[group] = (min if rule.mode == "min" else max)(means, key=lambda option: means[option])
        choices.append(_told(options, means, best[group], rule, alone=several[group[0]] == 1))
    left = [each for each in wanted if best.get(_group(each, rule), _option(each, rule)) == _option(each, rule)]
    return left, choices


def _told(
    options: Mapping[Group, Sequence[Combination]],
    means: Mapping[Group, float],
    chosen: Group,
    rule: Rule,
    *,
    alone: bool,
) -> Choice:
    """Return a choice in words; what is not chosen is left out where it is not given and nothing else is there.

    Raises:
        ConfigError: if the best value is not finite.
    """
    first = options[chosen][0]
    words = [axis for axis in _AXES if axis not in rule.over and not (alone and first.setting(axis) is None)]
    name = ", ".join([first.schedule, *(first.told(axis) for axis in words)])
    if not math.isfinite(means[chosen]):
        raise ConfigError(
            f"select: no candidate of {name!r} has a finite {rule.metric}. Give it other {' and '.join(rule.over)}"
        )
    told = {option: ", ".join(runs[0].told(axis) for axis in rule.over) for option, runs in options.items()}
    return Choice(name, told[chosen], {told[option]: mean for option, mean in means.items()})


def _group(combination: Combination, rule: Rule) -> Group:
    """Return what a run competes within."""
    return (combination.schedule, *(combination.setting(axis) for axis in _AXES if axis not in rule.over))


def _option(combination: Combination, rule: Rule) -> Group:
    """Return what is chosen with a run."""
    return tuple(combination.setting(axis) for axis in rule.over)


def _by_group(tried: Sequence[Combination], rule: Rule) -> dict[Group, dict[Group, list[Combination]]]:
    """Return the candidates by what they compete within, and by what they stand for."""
    groups: dict[Group, dict[Group, list[Combination]]] = {}
    for each in tried:
        groups.setdefault(_group(each, rule), {}).setdefault(_option(each, rule), []).append(each)
    return groups


def _values(config: SweepConfig, tried: Sequence[Combination], uri: str) -> dict[str, float]:
    """Return the value of each candidate by its fingerprint; one that blew up has the worst of all."""
    runs = finished_runs(uri, f"{config.experiment}-select", shared_fingerprint(config))
    missing = [each.name for each in tried if each.fingerprint not in runs]
    if missing:
        raise ConfigError(f"select: {len(missing)} candidates have not finished, the first {missing[0]!r}")
    rule = config.select
    keys = {runs[each.fingerprint].info.run_id: each.fingerprint for each in tried}
    try:
        _, records = load_runs(open_store(uri), Selection(run_ids=list(keys)), rule.metric, lrs=False)
    except CompareError as error:
        raise ConfigError(f"select: {error}") from error
    return {keys[record.run_id]: value_of(record, rule) for record in records}


def value_of(record: RunRecord, rule: Rule) -> float:
    """Return what a run says to a rule; the worst where it is not finite or was not recorded."""
    worst = math.inf if rule.mode == "min" else -math.inf
    curve = record.metric
    if rule.at == "best":
        values = curve.finite().values
        return (min if rule.mode == "min" else max)(values, default=worst)
    ends = completed_ends(record) if rule.at == "cycle_end" else ()
    value = curve.at(ends[-1] if ends else curve.steps[-1]) if curve.steps else None
    return worst if value is None or not math.isfinite(value) else value
