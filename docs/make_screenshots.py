"""Take the pictures of pages that the docs show: the demo's runs in MLflow and their report, and the first run's lr.

Needs chromium (on Debian ``apt-get install chromium fonts-dejavu-core``). Run it with ``make docs-screenshots``.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from playwright.sync_api import Page

from lightning_lrsched.cli import main as lrsched
from tests.integration.browsing import browser_page, mlflow_server

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
SETTLED = 3000  # milliseconds; MLflow's charts grow into their places


def main() -> None:
    """Train the demo's runs and take the pictures."""
    with TemporaryDirectory() as folder:
        subprocess.run([sys.executable, DOCS.parent / "examples/demo.py", "--output", folder], check=True)
        store = f"sqlite:///{folder}/mlflow.db"
        report = Path(folder) / "report.html"
        if lrsched(["compare", "--experiment", "demo", "--tracking-uri", store, "--html", str(report)]):
            raise SystemExit("the comparison failed; the lines above say why")
        with browser_page(1300, 900) as page:
            page.goto(report.as_uri())
            page.wait_for_selector("#figure .legend")
            # Where the runs were read from is a folder of this machine.
            page.locator("header p").evaluate("(line) => line.textContent = 'read from sqlite:///mlflow.db'")
            page.screenshot(path=IMAGES / "report.png", full_page=True)
        with mlflow_server(store, Path(folder) / "server.log") as address, browser_page(1300, 800) as page:
            mlflow_page(page, address)
    first_run()


def first_run() -> None:
    """Do what the page "Getting started" says, and take the picture of the lr curve."""
    [script] = re.findall(r"```python\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    with TemporaryDirectory() as folder:
        (Path(folder) / "first.py").write_text(script, encoding="utf-8")
        subprocess.run([sys.executable, "first.py"], cwd=folder, check=True)
        store = f"sqlite:///{folder}/mlflow.db"
        with mlflow_server(store, Path(folder) / "log") as address, browser_page(1000, 640) as page:
            page.goto(address)
            page.get_by_text("Model training", exact=True).click()
            page.get_by_text("Experiments", exact=True).first.click()
            page.get_by_role("link", name="first", exact=True).first.click()
            page.locator("a[href*='/runs/']").first.click()
            page.get_by_text("Model metrics").first.click()
            close_assistant(page)
            page.get_by_placeholder("Search metric charts").fill("lr")
            page.wait_for_selector(".js-plotly-plot path.js-line")
            page.wait_for_timeout(SETTLED)
            page.screenshot(path=IMAGES / "mlflow-first.png")


def mlflow_page(page: Page, address: str) -> None:
    """Take the picture of the lr curves behind MLflow's compare page."""
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("demo").experiment_id
    runs = [run.info.run_id for run in client.search_runs([experiment])]
    page.goto(address)
    page.get_by_text("Model training", exact=True).click()
    page.goto(f"{address}/#/compare-runs?runs={json.dumps(runs)}&experiments={json.dumps([experiment])}")
    close_assistant(page)
    page.get_by_role("link", name="lr/SGD/0", exact=True).click()
    page.wait_for_selector(".js-plotly-plot path.js-line")
    page.wait_for_timeout(SETTLED)
    page.screenshot(path=IMAGES / "mlflow-compare.png")


def close_assistant(page: Page) -> None:
    """Close the panel that lies over a third of the page."""
    panel = page.get_by_role("button", name="Close")
    if panel.count():
        panel.first.click()


if __name__ == "__main__":
    main()
