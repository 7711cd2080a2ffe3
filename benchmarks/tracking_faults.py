"""What tracking takes of the training thread while something is wrong: a row for each fault.

    python benchmarks/tracking_faults.py [--steps 3000] [--groups 1 8] [--fault slow 500 ...] [--turns 3] [--quick]

Every fit is real, and so are the faults: ``mlflow server`` behind a proxy that answers as ill servers do, a sqlite
file that another process has locked, a spool that cannot be made. A process of its own trains; another one makes the
fault and is told when it is to begin. In each step everything that the tracker does in the training thread is timed, on
the clock and as CPU time of the thread: its hooks, and what follows each step (the lrs are read, recorded and audited).
What an empty function takes so is taken off. The table has the median and the largest of them, and the longest whole
step, beside that of the same fit without a tracker: threads hold each other up outside of these functions too. The
first step opens the run; it has a column of its own. "as untracked" says whether the fit ended with the bits of one
without a tracker; "arrived" counts the points of the first group's lr in the store after ``lrsched replay``.

All faults have their turn before the first one is made again. A row has the median of its fits' medians, and the
largest of what is a largest one. Before each fit comes one without a tracker, in which 100 bytes are appended to a file
after every step: how long that takes says how fast the machine was just then.

The figures mean something on an idle machine alone. ``--quick`` shows in seconds that it works, and measures nothing.
"""

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import timed_fit, tracking_cost

LOCKED_SECONDS = 7.0


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
    """

    name: str
    http: bool = True
    mode: str | int = "ok"
    at: float = 0.25
    until: float | None = None
    settings: tuple[tuple[str, Any], ...] = ()


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
}


class Bench:
    """Makes the faults, and has the worker train meanwhile."""

    def __init__(self, folder: Path, proxy: Any, store: str, worker: "subprocess.Popen[str]") -> None:
        self.folder, self.proxy, self.store, self.worker = folder, proxy, store, worker

    def fit(
        self, name: str, uri: str | None, steps: int, groups: int, acts: dict[int, Callable[[], None]], **more: Any
    ) -> dict[str, Any]:
        """Train once; at some steps something happens."""
        job = {"folder": str(self.folder / name), "uri": uri, "steps": steps, "groups": groups, "events": [*acts]}
        self._send(job | {"settings": more})
        assert self.worker.stdout is not None
        for line in self.worker.stdout:
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if "result" in told:
                return dict(told["result"])
            acts[told["event"]]()
            self._send({})
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
        acts: dict[int, Callable[[], None]] = {}
        if fault.http and fault.at:
            acts[int(steps * fault.at)] = lambda: setattr(self.proxy, "mode", fault.mode)
        if fault.until:
            acts[int(steps * fault.until)] = lambda: setattr(self.proxy, "mode", "ok")
        if key in LOCAL:
            acts[int(steps * fault.at)] = lambda: LOCAL[key](store)
        settings = dict(fault.settings) | {"flush_timeout": flush}
        plain = self.fit(f"{name}-plain", None, steps, groups, {})
        with ExitStack() as around:
            if key == "full":
                settings["spool_dir"] = around.enter_context(small_disk(self.folder / f"{name}-disk"))
            if key == "two":
                around.enter_context(neighbour(uri, groups, self.folder / f"{name}-neighbour"))
            found = self.fit(name, uri, steps, groups, acts, **settings)
        self.proxy.mode = "ok"
        return found | {
            "same": found["weights"] == plain["weights"],
            "untracked": plain["whole"],
            "append": plain["append"],
            "arrived": self.arrived(name, uri, store, found["run"]),
        }

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


def together(name: str, groups: int, fits: list[dict[str, Any]]) -> dict[str, Any]:
    """Put together what some fits through one fault have measured."""
    medians = {key: median(fit[key] for fit in fits) for key in ("wall", "cpu", "append", "opening")}
    largest = {key: max(fit[key] for fit in fits) for key in ("worst", "worst_cpu", "whole", "untracked")}
    arrived = " / ".join(sorted({f"{fit['arrived']:,}" for fit in fits}))
    same = all(fit["same"] for fit in fits)
    return {"name": name, "groups": groups, **medians, **largest, "same": same, "arrived": arrived}


def table(rows: list[dict[str, Any]], steps: int) -> str:
    """Return the rows as a table."""
    lines = [
        "| fault | groups | us a step (median) | CPU us a step (median) | one append, us (median) | largest, ms "
        "| of it CPU, ms | longest step, ms | untracked, ms | opening, ms | as untracked | arrived |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['name']} | {row['groups']} | {row['wall']:.1f} | {row['cpu']:.1f} | {row['append']:.1f} | "
        f"{row['worst']:.1f} | {row['worst_cpu']:.1f} | {row['whole']:.1f} | {row['untracked']:.1f} | "
        f"{row['opening']:,.0f} | {'yes' if row['same'] else 'NO'} | {row['arrived']} of {steps:,} |"
        for row in rows
    ]
    return "\n".join(lines)


@contextmanager
def bench(folder: Path, *, http: bool) -> Iterator[Bench]:
    """Start the worker, and the server and its proxy where they are needed."""
    from tests.integration.tracking_server import Proxy, Server

    store = f"sqlite:///{folder / 'server.db'}"
    server = Server(folder, store)
    proxy = Proxy(server.port)
    command = [sys.executable, timed_fit.__file__]
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, start_new_session=True
    )
    try:
        if http:
            server.start()
            proxy.open()
        yield Bench(folder, proxy, store, worker)
    finally:
        worker.kill()
        worker.communicate()
        proxy.close()
        server.stop()


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--fault", nargs="+", default=[*FAULTS], choices=[*FAULTS])
    parser.add_argument("--quick", action="store_true", help="60 steps: shows that it works")
    parser.add_argument("--turns", type=int, default=3, help="fits for each row")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with it
    steps, flush, turns = (60, 0.5, 1) if args.quick else (args.steps, 10.0, args.turns)
    timed_fit.quiet()
    fits: dict[tuple[int, str], list[dict[str, Any]]] = {
        (groups, key): [] for groups in args.groups for key in args.fault
    }
    http = any(FAULTS[key].http for key in args.fault)
    with tempfile.TemporaryDirectory() as name, bench(Path(name), http=http) as made:
        for turn in range(turns):
            for groups in args.groups:
                for key in args.fault:
                    fits[groups, key].append(made.measure(key, steps, groups, turn, flush=flush))
                    sys.stderr.write(f"{key}, {groups} groups: {fits[groups, key][-1]}\n")
    rows = [together(FAULTS[key].name, groups, found) for (groups, key), found in fits.items()]
    print(f"{steps:,} steps a fit\n\n{table(rows, steps)}")
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
