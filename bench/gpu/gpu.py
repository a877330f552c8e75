"""covn's CUDA kernels beside torch's and Triton's: built, compared with float64, then timed on the same tensors, in one run.

    python3 bench/gpu/gpu.py                    everything; the tables go into bench/RESULTS.md
    python3 bench/gpu/gpu.py --quick --only scoreHidden
"""

import argparse
import datetime
import importlib.util
import json
import pathlib
import shlex
import signal
import subprocess
import sys

import logits  # noqa: F401  cases register themselves, in this order
import hidden  # noqa: F401
import counts  # noqa: F401
import rollouts  # noqa: F401
import report
from bench import CASES, Bench, run_cases, torch
from library import ROOT, Library, architecture, build

CLOCKS = ("clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "power.draw", "power.limit", "temperature.gpu")


def parse(argv):
    parser = argparse.ArgumentParser(prog="gpu.py", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(CASES), metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--quick", action="store_true", help="smaller tensors, fewer repeats")
    parser.add_argument("--json", metavar="FILE", help="every number")
    parser.add_argument("--results", metavar="FILE", help="where the tables go; bench/RESULTS.md after a whole run")
    parser.add_argument("--from", dest="recorded", metavar="FILE", help="the tables of a --json FILE; nothing is run")
    parser.add_argument("--library", metavar="FILE", help="one that was built elsewhere; none is built")
    parser.add_argument("--emulated", action="store_true", help="check this benchmark without a GPU: its times mean nothing")
    return parser.parse_args(argv)


def nvidia_smi(fields, uuid):
    """What nvidia-smi says of the device, by field; empty where it cannot be asked."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", *(["-i", uuid] if uuid else [])]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return {}
    return dict(zip(fields, (part.strip() for part in line.split(","))))


def clocks(uuid):
    found = nvidia_smi(CLOCKS, uuid)
    return ", ".join(f"{name} {value}" for name, value in found.items()) or "clocks unknown"


def triton_version():
    return importlib.import_module("triton").__version__ if importlib.util.find_spec("triton") else None


def machine_of(emulated):
    properties = None if emulated else torch.cuda.get_device_properties(0)
    uuid = str(getattr(properties, "uuid", "")) if properties else ""
    uuid = f"GPU-{uuid}" if uuid and not uuid.startswith("GPU-") else uuid
    machine = {
        "gpu": "emulated, on this processor" if emulated else properties.name,
        "capability": "" if emulated else f"{properties.major}.{properties.minor}",
        "multiprocessors": 0 if emulated else properties.multi_processor_count,
        "memory": 0 if emulated else properties.total_memory,
        "driver": nvidia_smi(["driver_version"], uuid).get("driver_version", "unknown"),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "triton": triton_version(),
        "covn": json.loads((ROOT / "package.json").read_text())["version"],
        "date": datetime.date.today().isoformat(),
        "clocks": {},
    }
    return machine, uuid


def run(options):
    if torch is None:
        raise SystemExit("gpu.py: expected PyTorch but found nothing. Install it, or give --from a recorded run.")
    if not options.emulated and not torch.cuda.is_available():
        raise SystemExit("gpu.py: expected an NVIDIA GPU that torch can use but found none")
    torch.set_grad_enabled(False)
    arch = None if options.emulated else architecture(torch.cuda.get_device_capability(0))
    stream = None if options.emulated else (lambda: torch.cuda.current_stream().cuda_stream)
    bench = Bench(Library(options.library or build(arch), stream), options.quick, options.emulated)
    machine, uuid = machine_of(options.emulated)
    machine["clocks"]["before"] = clocks(uuid)
    command = shlex.join(["python3", "bench/gpu/gpu.py", *sys.argv[1:]])
    document = {"machine": machine, "command": command, "results": []}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("gpu.py: terminated"))  # as by `timeout`: what was measured is kept
    try:
        run_cases(bench, options.only or list(CASES), document["results"])
    finally:
        machine["clocks"]["after"] = clocks(uuid)
        save(options, document)
    return document


def save(options, document):
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(document, indent=2) + "\n")


def main(argv):
    options = parse(argv)
    if options.recorded:
        document = json.loads(pathlib.Path(options.recorded).read_text())
        save(options, document)
    else:
        document = run(options)
    tables = report.markdown(document)
    print(tables)
    whole = not (options.only or options.quick or options.emulated or options.recorded)
    results = pathlib.Path(options.results or ROOT / "bench/RESULTS.md")
    if options.results or (whole and results.exists()):
        text = results.read_text() if results.exists() else ""
        results.write_text(report.with_section(text, tables))


if __name__ == "__main__":
    main(sys.argv[1:])
