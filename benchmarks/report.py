"""Print the benchmarks' table from the file that pytest-benchmark wrote: medians, and ratios to the floor."""

import json
import platform
import sys
from pathlib import Path


def main(path: Path) -> None:
    """Print one Markdown table for each group of benchmarks."""
    groups: dict[str, dict[str, float]] = {}
    for row in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]:
        groups.setdefault(row["group"], {})[row["extra_info"]["name"]] = row["stats"]["median"] * 1e6
    print(f"Medians on {platform.machine()}, {platform.system()}, Python {platform.python_version()}.")
    for group, medians in groups.items():
        reference = medians.get("floor") or next(iter(medians.values()))
        print(f"\n{group}\n\n| what | median us | times the first row |\n| --- | --- | --- |")
        for name, median in medians.items():
            print(f"| {name} | {median:.3g} | {median / reference:.2f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
