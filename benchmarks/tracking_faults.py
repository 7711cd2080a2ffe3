"""What tracking takes of the training thread while something is wrong: a row for each fault.

    python benchmarks/tracking_faults.py [--steps 3000] [--work 2] [--groups 1 8] [--fault slow] [--turns 3] [--calm 8]
    python benchmarks/tracking_faults.py --quick

Every fit is real, and so are the faults: ``mlflow server`` behind a proxy that answers as ill servers do, a sqlite
file that another process has locked, a spool that cannot be made. A process of its own trains; another one makes the
fault and is told when it is to begin. In each step everything that the tracker does in the training thread is timed, on
the clock and as CPU time of the thread: its hooks, and what follows each step (the lrs are read, recorded and audited).
The table has the median and the largest of them. From the medians is taken what the clocks alone take in the same two
places of each step of the same fit without a tracker. The first step opens the run; it has a column of its own.

Threads hold each other up outside of these functions too: the tracker's threads and the training share Python's
interpreter, and every operation of torch lets go of it. So each step does a fixed number of small operations
(``--work`` milliseconds, alone), and "held up" is the longest time within one step in which the training thread did not
run, or collected garbage; beside it that of the same fit without a tracker. The longest whole step is there as well,
but on a virtual machine it can be a processor that stood still, which the system counts as time that the thread ran.

"as untracked" says whether the fit ended with the bits of one without a tracker; "arrived" counts the points of the
first group's lr in the store after ``lrsched replay``. A fit that is killed, or raises, tells what it has measured just
before, at three quarters; it is compared to the one without a tracker at that step.

All faults have their turn before the first one is made again. A row has the median of its fits' medians, and the
largest of what is a largest one. Before each fit comes one without a tracker. In both, 100 bytes are appended to
another file after every step: how long that takes says how fast the machine was just then, and "in appends" is what the
tracker does in a step, in appends of the same fit. ``--calm 8`` takes the medians from fits alone in which an append
took no more than 8 us; what has such a fit has no turn any more, and a row without one has the medians of all its fits.

The figures mean something on an idle machine alone. ``--quick`` shows in seconds that it works, and measures nothing.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import timed_fit, tracking_cost

LOCKED_SECONDS = 7.0
COLUMNS = {
    "wall": "us a step (median)",
    "cpu": "CPU us a step (median)",
    "clocks": "the clocks alone, us (median)",
    "append": "one append, us (median)",
    "append_untracked": "untracked, us (median)",
    "appends": "in appends",
    "worst": "largest, ms",
    "worst_cpu": "of it CPU, ms",
    "held": "held up, ms",
    "untracked_held": "untracked, ms",
    "whole": "longest step, ms",
    "untracked": "untracked, ms",
    "opening": "opening, ms",
}
MEDIANS = ("wall", "cpu", "clocks", "append", "append_untracked", "appends", "opening")


@dataclass(frozen=True)
class Fault:
    """Something that is wrong.

    Args:
        name: what stands in the table.
        http: whether the fit writes to the server through the proxy; else to a sqlite file.
        mode: what the proxy does from the fault on; see `Proxy`.
        at: share of the steps after which it begins.
        until: share of the steps after which the proxy is well again; None for never.
        settings: arguments of the tracker.
        end: what ends the training then: a signal, or a message to be raised; None for nothing.
    """

    name: str
    http: bool = True
    mode: str | int = "ok"
    at: float = 0.25
    until: float | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    end: signal.Signals | str | None = None


FAULTS = {
    "none-http": Fault("none, http"),
    "none-sqlite": Fault("none, sqlite", http=False),
    "down": Fault("server down from the start", mode="down", at=0.0),
    "down-middle": Fault("server down in the middle, and back", mode="down", until=0.75),
    "down-for-good": Fault("server down in the middle, for good", mode="down"),
    "slow": Fault("an answer that takes 10 s", mode="slow"),
    "500": Fault("answers 500", mode=500, until=0.75),
    "429": Fault("answers 429", mode=429, until=0.75),
    "cut": Fault("cuts connections", mode="cut", until=0.75),
    "401": Fault("wrong credentials (401)", mode=401, at=0.0),
    "read-only": Fault("spool that cannot be written", http=False, settings=(("spool_dir", "/proc/lrsched"),)),
    "full": Fault("spool on a disk that is full after 64 KiB", http=False),
    "locked": Fault("sqlite locked by another writer, 7 s", http=False),
    "two": Fault("another training that writes to the same sqlite file", http=False),
    "deleted": Fault("run deleted in the middle", http=False),
    "experiment": Fault("experiment deleted in the middle", http=False),
    "sigkill": Fault("process killed by SIGKILL", at=0.75, end=signal.SIGKILL),
    "sigterm": Fault("process killed by SIGTERM", at=0.75, end=signal.SIGTERM),
    "ctrl-c": Fault("ctrl-C", at=0.75, end=signal.SIGINT),
    "exception": Fault("exception in the module", at=0.75, end="the module fails"),
}


class Bench:
    """Makes the faults, and has the worker train meanwhile."""

    def __init__(self, folder: Path, proxy: Any, store: str, work: float) -> None:
        self.folder, self.proxy, self.store, self.work = folder, proxy, store, work
        self.start()

    def start(self) -> None:
        """Start the worker."""
        self.worker = subprocess.Popen(
            [sys.executable, timed_fit.__file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.folder, start_new_session=True,
        )  # fmt: skip

    def stop(self) -> None:
        """Stop the worker."""
        self.worker.kill()
        self.worker.communicate()

    def fit(
        self,
        name: str,
        uri: str | None,
        steps: int,
        groups: int,
        acts: dict[int, Callable[[], Any]],
        *,
        ends: bool = False,
        **more: Any,
    ) -> dict[str, Any]:
        """Train once; at some steps something happens, and what it returns is told to the worker.

        With ``ends``, that is the worker's end: what it has told just before is returned.
        """
        job = {"folder": str(self.folder / name), "uri": uri, "steps": steps, "groups": groups, "work": self.work}
        self._send(job | {"events": [*acts], "settings": more})
        assert self.worker.stdout is not None
        for line in filter(lambda line: line.startswith("{"), self.worker.stdout):
            told = json.loads(line)
            if "result" in told:
                return dict(told["result"])
            answer = acts[told["event"]]()
            with suppress(BrokenPipeError):  # it is killed
                self._send(answer or {})
            if ends:
                self.worker.wait(60)
                self.stop()
                self.start()
                return dict(told["then"])
        raise SystemExit(f"the training process ended with {self.worker.wait()}")

    def _send(self, line: dict[str, Any]) -> None:
        assert self.worker.stdin is not None
        self.worker.stdin.write(json.dumps(line) + "\n")
        self.worker.stdin.flush()

    def measure(self, key: str, steps: int, groups: int, turn: int, *, flush: float) -> dict[str, Any]:
        """Train once through a fault; return what was measured."""
        fault, name = FAULTS[key], f"{key}-{groups}-{turn}"
        local = f"sqlite:///{self.folder / name}.db"
        uri = self.proxy.uri if fault.http else local
        store = self.store if fault.http else local
        self.proxy.mode = fault.mode if fault.http and fault.at == 0 else "ok"
        if not fault.http:
            prepared(store)
        acts = self.acts(key, steps, store)
        settings = dict(fault.settings) | {"flush_timeout": flush}
        plain = self.fit(f"{name}-plain", None, steps, groups, {int(steps * fault.at): dict} if fault.end else {})
        with ExitStack() as around:
            if key == "full":
                settings["spool_dir"] = around.enter_context(small_disk(self.folder / f"{name}-disk"))
            if key == "two":
                around.enter_context(neighbour(uri, groups, self.folder / f"{name}-neighbour"))
            found = self.fit(name, uri, steps, groups, acts, ends=fault.end is not None, **settings)
        self.proxy.mode = "ok"
        wall = found["wall"] - plain["wall"]
        return found | {
            "wall": wall,
            "cpu": found["cpu"] - plain["cpu"],
            "clocks": plain["wall"],
            "same": found["weights"] == (plain["then"] if fault.end else plain)["weights"],
            "steps": int(steps * fault.at) if fault.end else steps,
            "untracked": plain["whole"],
            "untracked_held": plain["held"],
            "append_untracked": plain["append"],
            "appends": wall / found["append"],
            "arrived": self.arrived(name, uri, store, found["run"]),
        }

    def acts(self, key: str, steps: int, store: str) -> dict[int, Callable[[], Any]]:
        """Return what is to happen, by the step after which it does."""
        fault, begin = FAULTS[key], int(steps * FAULTS[key].at)
        acts: dict[int, Callable[[], Any]] = {}
        if fault.end:
            acts[begin] = lambda: self.end(fault.end)
        elif fault.http and begin:
            acts[begin] = lambda: setattr(self.proxy, "mode", fault.mode)
        if fault.until:
            acts[int(steps * fault.until)] = lambda: setattr(self.proxy, "mode", "ok")
        if key in LOCAL:
            acts[begin] = lambda: LOCAL[key](store)
        return acts

    def end(self, how: signal.Signals | str | None) -> dict[str, str]:
        """End the training: kill its process, or return that it is to raise."""
        if isinstance(how, signal.Signals):
            self.worker.send_signal(how)
            return {}
        return {"raise": str(how)}

    def arrived(self, name: str, uri: str, store: str, run: str | None) -> int:
        """Replay what was left, and count the points of the first group; a step that is there twice counts twice."""
        from mlflow import MlflowClient

        from lightning_lrsched.tracking.replay import find_spools, replay

        client = MlflowClient(store)
        if run is not None:
            restored(client, run)
        for parent in [self.folder / name / "lrsched_spool"] if (self.folder / name / "lrsched_spool").exists() else []:
            for spool in find_spools(parent):
                run = replay(spool, uri, patience=30.0).run_id
        return 0 if run is None else len(client.get_metric_history(run, "lr/SGD/0"))


def prepared(store: str) -> None:
    """Make MLflow's tables."""
    from mlflow import MlflowClient

    MlflowClient(store).search_experiments()


def lock(store: str) -> None:
    """Lock a sqlite file for some seconds."""
    other = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False, timeout=30)
    other.execute("BEGIN EXCLUSIVE")
    threading.Timer(LOCKED_SECONDS, other.close).start()


def delete_run(store: str) -> None:
    """Delete the run that is being written."""
    client, run = found_run(store)
    client.delete_run(run.info.run_id)


def delete_experiment(store: str) -> None:
    """Delete the experiment of the run that is being written."""
    client, run = found_run(store)
    client.delete_experiment(run.info.experiment_id)


LOCAL = {"locked": lock, "deleted": delete_run, "experiment": delete_experiment}


def found_run(store: str) -> tuple[Any, Any]:
    """Return a client, and the run that is being written."""
    from mlflow import MlflowClient

    client, deadline = MlflowClient(store), time.monotonic() + 20
    while time.monotonic() < deadline:
        experiment = client.get_experiment_by_name("faults")
        runs = client.search_runs([experiment.experiment_id]) if experiment is not None else []
        if runs:
            return client, runs[0]
        time.sleep(0.05)
    raise SystemExit("no run to delete")


def restored(client: Any, run_id: str) -> None:
    """Bring back what was deleted."""
    experiment_id = client.get_run(run_id).info.experiment_id
    if client.get_experiment(experiment_id).lifecycle_stage == "deleted":
        client.restore_experiment(experiment_id)
    if client.get_run(run_id).info.lifecycle_stage == "deleted":
        client.restore_run(run_id)


@contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """Mount a disk of 64 KiB, as root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    try:
        yield str(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def neighbour(uri: str, groups: int, folder: Path) -> Iterator[None]:
    """Have another process train, tracked into the same store, for as long as this lasts."""
    command = [sys.executable, tracking_cost.__file__, "--fit", "tracker", uri, str(groups), "1000000", str(folder)]
    other = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        other.kill()
        other.wait()


def is_calm(fit: dict[str, Any], calm: float) -> bool:
    """Return whether the machine was fast enough in a fit for its medians to count."""
    return bool(fit["append"] <= calm)


def together(name: str, groups: int, fits: list[dict[str, Any]], calm: float) -> dict[str, Any]:
    """Put together what some fits through one fault have measured."""
    counted = [fit for fit in fits if is_calm(fit, calm)]
    figures = {key: max(fit[key] for fit in fits) for key in COLUMNS}
    figures |= {key: median(fit[key] for fit in counted or fits) for key in MEDIANS}
    arrived = " / ".join(sorted({f"{fit['arrived']:,}" for fit in fits}))
    same = all(fit["same"] for fit in fits)
    calm_of = f"{len(counted)} of {len(fits)}"
    row = {"name": name, "groups": groups, "steps": fits[0]["steps"], "calm": calm_of}
    return row | figures | {"same": same, "arrived": arrived}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    lines = ["| fault | groups | " + " | ".join(COLUMNS.values()) + " | calm | as untracked | arrived |"]
    lines.append("| --- " * (len(COLUMNS) + 5) + "|")
    for row in rows:
        figures = " | ".join(f"{row[key]:,.1f}" for key in COLUMNS)
        same, arrived = "yes" if row["same"] else "NO", f"{row['arrived']} of {row['steps']:,}"
        lines.append(f"| {row['name']} | {row['groups']} | {figures} | {row['calm']} | {same} | {arrived} |")
    return "\n".join(lines)


@contextmanager
def bench(folder: Path, work: float, *, http: bool) -> Iterator[Bench]:
    """Start the worker, and the server and its proxy where they are needed."""
    from tests.integration.tracking_server import Proxy, Server

    store = f"sqlite:///{folder / 'server.db'}"
    server = Server(folder, store)
    proxy = Proxy(server.port)
    made = Bench(folder, proxy, store, work)
    try:
        if http:
            server.start()
            proxy.open()
        yield made
    finally:
        made.stop()
        proxy.close()
        server.stop()


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--fault", nargs="+", default=[*FAULTS], choices=[*FAULTS])
    parser.add_argument("--work", type=float, default=2.0, help="milliseconds of operations in each step")
    parser.add_argument("--quick", action="store_true", help="60 steps: shows that it works")
    parser.add_argument("--turns", type=int, default=3, help="fits for each row")
    parser.add_argument("--calm", type=float, default=float("inf"), help="us of an append in fits whose medians count")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with it
    steps, flush, turns = (60, 0.5, 1) if args.quick else (args.steps, 10.0, args.turns)
    timed_fit.quiet()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's, as in tracking_cost.py
    fits: dict[tuple[int, str], list[dict[str, Any]]] = {
        (groups, key): [] for groups in args.groups for key in args.fault
    }
    http = any(FAULTS[key].http for key in args.fault)
    with tempfile.TemporaryDirectory() as name, bench(Path(name), args.work, http=http) as made:
        for turn in range(turns):
            for groups in args.groups:
                for key in args.fault:
                    if turn and args.calm < float("inf") and any(is_calm(fit, args.calm) for fit in fits[groups, key]):
                        continue
                    fits[groups, key].append(made.measure(key, steps, groups, turn, flush=flush))
                    sys.stderr.write(f"{key}, {groups} groups: {fits[groups, key][-1]}\n")
    rows = [together(FAULTS[key].name, groups, found, args.calm) for (groups, key), found in fits.items()]
    print(f"{steps:,} steps of {args.work:g} ms a fit\n\n{table(rows)}")
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
