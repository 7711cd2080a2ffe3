"""What tracking costs a fit: MLflowTracker against MLFlowLogger + LearningRateMonitor and mlflow.pytorch.autolog.

    python benchmarks/tracking_cost.py [--steps 5000] [--store sqlite http-sqlite http-postgresql] [--groups 1 8]

Each way is a process of its own and trains the same module. The cost of a step is the median over all steps of the time
that the loop needs for one, less the same of a fit without tracking; requests are those that the server's own log has
(writes of points alone); points are those of the lr in the store afterwards.

A server has four workers, as ``mlflow server`` starts it, unless ``--workers`` says otherwise.

The ways are trained in turns, three times each, since fits differ by as much as the cheap ones cost: the table has the
median of each column, and of the longest step the largest of all. A fit that is not counted comes first: a server is
slow until it has answered each request once. All of it takes an hour and a half on two idle cores, a single round half
an hour.

torch has one thread, unless ``OMP_NUM_THREADS`` says otherwise: the other core is the server's, which elsewhere has a
machine of its own. Two threads of torch wait for each other at every operation while the server has one of their cores.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
WAYS = ("none", "tracker", "on_change", "logger", "autolog")
NAMES = {
    "none": "no tracking",
    "tracker": "MLflowTracker",
    "on_change": 'the same, `"on_change"`',
    "logger": "MLFlowLogger + LearningRateMonitor(step)",
    "autolog": "mlflow.pytorch.autolog + LearningRateMonitor(step)",
}
NOISE = 0.2  # seconds by which fits differ that are the same

STORES = {"sqlite": "sqlite", "http-sqlite": "http over sqlite", "http-postgresql": "http over PostgreSQL"}


def one_fit(way: str, uri: str, groups: int, steps: int, folder: Path) -> dict[str, Any]:
    """Train once in one way; return what the loop and the whole process saw."""
    import lightning.pytorch as pl
    import mlflow
    import torch
    from lightning.pytorch.callbacks import Callback, LearningRateMonitor
    from lightning.pytorch.loggers import CSVLogger, MLFlowLogger

    from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(torch.nn.Linear(64, 64) for _ in range(8))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x = batch
            for layer in self.layers:
                x = torch.tanh(layer(x))
            return x.square().mean()

        def configure_optimizers(self) -> Any:
            per = 8 // groups
            parts = [list(self.layers[i * per : (i + 1) * per].parameters()) for i in range(groups)]
            return torch.optim.SGD([{"params": part, "lr": 0.1 / (i + 1)} for i, part in enumerate(parts)], lr=0.1)

    class Clock(Callback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_train_batch_end(self, *_: object) -> None:
            self.times.append(time.perf_counter())

    begin, cpu = time.perf_counter(), time.process_time()
    clock = Clock()
    callbacks: list[Callback] = [LearningRateScheduler(SGDR("10%"), warmup="5%"), clock]
    logger: Any = False
    if way in ("tracker", "on_change"):
        callbacks.append(MLflowTracker(uri, "cost", every_n_steps="on_change" if way == "on_change" else 1))
    elif way == "logger":
        logger = MLFlowLogger("cost", tracking_uri=uri)
        callbacks.append(LearningRateMonitor("step"))
    elif way == "autolog":
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("cost")
        mlflow.pytorch.autolog(log_models=False, checkpoint=False, log_every_n_step=1)
        logger = CSVLogger(folder)
        callbacks.append(LearningRateMonitor("step"))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        logger=logger,
        callbacks=callbacks,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    data: Any = torch.utils.data.DataLoader(torch.randn(16 * steps, 64), batch_size=16)  # type: ignore[arg-type]
    trainer.fit(Module(), data)
    end, cpu_end = time.perf_counter(), time.process_time()
    gaps = [later - earlier for earlier, later in zip(clock.times, clock.times[1:], strict=False)]
    return {
        "step": statistics.median(gaps) * 1e6,
        "mean": statistics.fmean(gaps) * 1e6,
        "worst": max(gaps) * 1e3,
        "total": end - begin,
        "flush": end - clock.times[-1],
        "cpu": cpu_end - cpu,
    }


def points_in(uri: str) -> int:
    """Return how many lr points the last run of a store has."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("cost")
    if experiment is None:
        return 0
    run = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=1)[0]
    return sum(len(client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics if key.startswith("lr"))


@contextmanager
def postgresql() -> Iterator[str]:
    """Start Debian's PostgreSQL on a socket of 127.0.0.1, as the user postgres where we are root.

    It has a folder of its own: one in pytest's would be closed to the user postgres by the next pytest that begins.
    """
    from tests.integration.tracking_server import free_port

    where, port = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1], free_port()
    data = Path(tempfile.mkdtemp(prefix="lrsched-postgresql-"))
    become: dict[str, Any] = {}
    if os.getuid() == 0:
        shutil.chown(data, "postgres")
        become = {"user": "postgres", "group": "postgres", "extra_groups": []}

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=data, timeout=60, **become)

    try:
        run(where / "initdb", "-D", data, "-U", "mlflow", "-A", "trust", "--no-sync")
        options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1"
        run(where / "pg_ctl", "-D", data, "-o", options, "-l", data / "log", "-w", "start")
        try:
            run(where / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "mlflow")
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
        finally:
            run(where / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(data)


@contextmanager
def store(kind: str, folder: Path, workers: int) -> Iterator[str]:
    """Start a store; yield its URI."""
    from tests.integration.tracking_server import Server

    with ExitStack() as running:
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        if kind == "http-postgresql":
            uri = running.enter_context(postgresql())
        if kind != "sqlite":
            uri = running.enter_context(Server(folder, uri, workers)).uri
        yield uri


def requests_in(folder: Path) -> int:
    """Return how many writes of values the log of the server in a folder has; 0 where there is none."""
    log = folder / "server.log"
    return log.read_text().count("/api/2.0/mlflow/runs/log-") if log.exists() else 0


def measure(kind: str, groups: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train in every way against one store."""
    ways = ["none", *args.ways]
    fits: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with store(kind, folder, args.workers) as uri:

            def train(way: str, steps: int) -> dict[str, Any]:
                before = requests_in(folder)
                command = [sys.executable, __file__, "--fit", way, uri, str(groups), str(steps), str(folder / way)]
                done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
                row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
                row |= {"requests": requests_in(folder) - before, "points": 0 if way == "none" else points_in(uri)}
                sys.stderr.write(f"{kind} {groups} {way}: {row}\n")
                return row

            train("tracker", 100)
            for _ in range(args.rounds):
                for way in ways:
                    fits[way].append(train(way, args.steps))
    return [{"way": way, "store": kind, "groups": groups, **middle(rows)} for way, rows in fits.items()]


def middle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of some fits, and the longest step of all."""
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return medians | {"worst": max(row["worst"] for row in rows)}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as the table of docs/benchmarks.md, each less the fit without tracking."""
    lines = [
        "| store | groups | way | us a step (median) | worst step, ms | whole fit, s more | of it after the last step "
        "| process CPU, s more | requests | lr points |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row["way"] == "none":
            continue
        less = {key: row[key] - untracked(rows, row)[key] for key in ("step", "total", "cpu")}
        asked = "" if row["store"] == "sqlite" else f"{row['requests']:,.0f} "
        lines.append(
            f"| {STORES[row['store']]} | {row['groups']} | {NAMES[row['way']]} | {less['step']:,.0f} | "
            f"{row['worst']:,.0f} | {less['total']:,.1f} | {row['flush']:,.1f} | {less['cpu']:,.1f} | {asked}| "
            f"{row['points']:,.0f} |"
        )
    return "\n".join(lines)


def untracked(rows: list[dict[str, Any]], like: dict[str, Any]) -> dict[str, Any]:
    """Return the fit without tracking beside a row."""
    return next(row for row in rows if (row["store"], row["groups"], row["way"]) == (*_case(like), "none"))


def factors(rows: list[dict[str, Any]]) -> str:
    """Return how many times less the tracker takes than the pair, by the whole fit and by the process's CPU."""
    lines = []
    for row in rows:
        pair = next((other for other in rows if _case(other) == _case(row) and other["way"] == "logger"), None)
        if row["way"] in ("tracker", "on_change") and pair is not None:
            none = untracked(rows, row)
            whole, cpu = (factor(pair[key] - none[key], row[key] - none[key]) for key in ("total", "cpu"))
            case = f"{STORES[row['store']]}, {row['groups']}, {NAMES[row['way']]}"
            lines.append(f"{case}: {whole} times less (CPU {cpu})")
    return "\n".join(lines)


def factor(pair: float, ours: float) -> str:
    """Return how many times less ours is; where it is less than fits differ by, what it is at least."""
    return f"{pair / ours:.1f}" if ours >= NOISE else f"more than {pair / NOISE:.0f}"


def _case(row: dict[str, Any]) -> tuple[str, int]:
    return row["store"], row["groups"]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 8], choices=[1, 2, 4, 8])
    parser.add_argument("--store", nargs="+", default=[*STORES], choices=STORES)
    parser.add_argument("--ways", nargs="+", default=WAYS[1:], choices=WAYS[1:], help="beside no tracking")
    parser.add_argument("--workers", type=int, default=4, help="of a server; as mlflow server has, where not given")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is trained")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with it
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = []
    for kind in args.store:
        for groups in args.groups:
            rows += measure(kind, groups, args)
    step = statistics.median(row["step"] for row in rows if row["way"] == "none")
    print(f"{args.steps:,} steps; one without tracking took {step / 1e3:.1f} ms; servers with {args.workers} workers")
    print(f"\n{table(rows)}\n\nagainst {NAMES['logger']}:\n{factors(rows)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fit"]:
        way, uri, groups, steps, folder = sys.argv[2:]
        print(json.dumps(one_fit(way, uri, int(groups), int(steps), Path(folder))))
    else:
        main()
