"""All benchmarks that need no data, one after another, each in a process of its own; their JSON goes to a folder, and
with --docs their tables into docs/benchmarks.md.

The options that a benchmark does not have are left out for it.
"""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from . import docs

HELP = "all of them but those that need data; with --docs their tables go into docs/benchmarks.md"
BENCHMARKS = ("translate", "explain", "panel", "train", "evaluate", "startup")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, help="these")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/benchmarks.md")
    parser.add_argument("--output", type=Path, default=Path("benchmark-output"), help="folder of the JSON")
    parser.add_argument("--device", help="of those that compute with a network")
    parser.add_argument("--size", type=int, nargs=3, metavar=("SLICES", "ROWS", "COLUMNS"), help="of the volumes")
    parser.add_argument("--repeats", type=int, help="turns after the first of each")


def main(options: argparse.Namespace) -> int:
    """0 when every bar is met, 1 when one is missed, 2 when a benchmark could not run."""
    codes = {}
    for name in options.only:
        file = options.output / f"{name}.json"
        file.unlink(missing_ok=True)
        command = [sys.executable, "-m", __package__, name, *arguments(name, options), "--json", str(file)]
        print(f"== {name}", flush=True)
        codes[name] = subprocess.run(command, check=False).returncode
        if options.docs and file.is_file():  # at once: a later one may fail or be stopped
            docs.write_reports(docs.DOCUMENT, [docs.read(file)])
    words = {0: "met", 1: "MISSED"}
    print("\n".join(f"{name}: {words.get(code, 'could not run')}" for name, code in codes.items()))
    return max((code if code in words else 2 for code in codes.values()), default=0)


def arguments(name: str, options: argparse.Namespace) -> list[str]:
    """The options of all that this benchmark has and that were given."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f".{name}", __package__).add_arguments(parser)
    known = {action.dest for action in parser._actions}
    given: list[str] = []
    for option in ("device", "size", "repeats"):
        value = getattr(options, option)
        if value is not None and option in known:
            given += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return given
