"""What a case is, and how it is checked and timed. A case is a function that yields groups; adding one is writing it, with
@case above, in a module that gpu.py imports."""

import dataclasses
import statistics
import sys
import time
from typing import Callable, Optional

try:
    import torch
except ImportError:  # tables are written, and arguments refused, without it
    torch = None

CASES = {}
DTYPES = {"f32": 0, "f16": 1, "bf16": 2}  # as the library numbers them


def case(name):
    def register(function):
        CASES[name] = function
        return function

    return register


@dataclasses.dataclass
class Entry:
    """Something timed. `call` enqueues on the current stream; `error`, after a call, says how far its result is from
    float64. Above `tolerance` a result is wrong, and the run stops: covn's entries have one."""

    by: str
    call: Callable
    error: Optional[Callable] = None
    tolerance: Optional[float] = None
    workspace: Optional[int] = None  # bytes; None: measured by torch's allocator, outputs included
    note: str = ""


@dataclasses.dataclass
class Group:
    """Entries that do the same work, on the same tensors; the first is covn's. `work` is in bytes, operations, draws..,
    1e9 or 1e12 of which make the unit."""

    title: str
    work: float
    unit: str
    entries: list
    of_copy: bool = False  # whether reading and writing memory bounds it

    @property
    def scale(self):
        return 1e12 if self.unit.startswith("T") else 1e9


class Bench:
    """Sizes, tensors and clocks of a run; `emulated`: on this processor, to check the cases themselves."""

    def __init__(self, library, quick=False, emulated=False):
        self.library, self.quick, self.emulated = library, quick, emulated
        self.device = torch.device("cpu" if emulated else "cuda")
        self.random = torch.Generator(self.device).manual_seed(1)
        self.dtypes = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
        self.seconds = 0.0 if emulated else 0.3 if quick else 1.5
        self.least = 1 if emulated else 3 if quick else 10

    def size(self, full, quick, emulated):
        return emulated if self.emulated else quick if self.quick else full

    def empty(self, *shape, dtype):
        return torch.empty(shape, dtype=dtype, device=self.device)

    def bytes(self, count):
        return self.empty(max(int(count), 16), dtype=torch.uint8)

    def normals(self, *shape, dtype, mean=0.0, sd=1.0):
        """Made in pieces, so that a large tensor of 16 bits does not need one of floats."""
        out = self.empty(*shape, dtype=dtype)
        flat, piece = out.view(-1), 1 << 26
        for begin in range(0, len(flat), piece):
            part = flat[begin : begin + piece]
            wide = torch.randn(len(part), generator=self.random, device=self.device, dtype=torch.float32)
            part.copy_(wide.mul_(sd).add_(mean))
        return out

    def integers(self, limit, *shape, dtype):
        return torch.randint(limit, shape, generator=self.random, device=self.device).to(dtype)

    def some_rows(self, rows, count=4):
        """The first, the last and some between: those compared with float64."""
        return sorted({round(i * (rows - 1) / (count - 1)) for i in range(count)})

    def compiled(self, function):
        """torch.compile of it, or a function that says why there is none."""
        if self.emulated or not hasattr(torch, "compile"):

            def missing(*_):
                raise RuntimeError("no torch.compile here")

            return missing
        return torch.compile(function, dynamic=False)

    def synchronize(self):
        self.library.synchronize() if self.emulated else torch.cuda.synchronize()

    def time(self, call):
        if self.emulated:
            start = time.perf_counter()
            call()
            self.synchronize()
            return time.perf_counter() - start
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # While the device sleeps, what is to be timed gets into its queue: launches do not count where they overlap.
        torch.cuda._sleep(1_000_000)
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    def copy_rate(self):
        """Bytes a second, read and written, of a copy on the device."""
        count = 1 << 20 if self.emulated else min(2 << 30, torch.cuda.mem_get_info()[0] // 8)
        source, to = self.bytes(count), self.bytes(count)
        source.zero_()
        self.time(lambda: to.copy_(source))
        return 2 * count / statistics.median(self.time(lambda: to.copy_(source)) for _ in range(10))

    def peak(self, call):
        """Bytes that a call allocates at its peak, outputs included."""
        if self.emulated:
            call()
            return None
        call()  # compiles, and allocates what later calls find
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        kept = call()
        self.synchronize()
        del kept
        return torch.cuda.max_memory_allocated() - before


def _attempt(entry, result, step):
    """Whether a step worked. A peer may fail, out of memory or for want of an operation, and its result says so."""
    try:
        step()
        return True
    except Exception as error:
        if entry.tolerance is not None:
            raise
        result["status"] = f"failed: {(str(error).strip() or repr(error)).splitlines()[0][:120]}"
        return False


def _check(bench, group, entry, result):
    """Calls an entry, compares it with float64, and adds what is known of it. A wrong result of covn ends the run."""
    peak = bench.peak(entry.call)
    bench.synchronize()
    result["workspace"] = peak if entry.workspace is None else entry.workspace
    if entry.error is not None:
        result["error"] = float(entry.error())
    if entry.tolerance is not None and not result["error"] <= entry.tolerance:
        raise SystemExit(
            f"gpu.py: {result['suite']}, {group.title}: {entry.by} is wrong: its result differs by "
            f"{result['error']:.3g} from float64, and {entry.tolerance:.3g} is allowed"
        )


@dataclasses.dataclass
class Timed:
    entry: Entry
    result: dict
    seconds: list = dataclasses.field(default_factory=list)

    def due(self, bench):
        count, spent = len(self.seconds), sum(self.seconds)
        if count < min(3, bench.least) or count >= 200:
            return count < 200
        return spent < bench.seconds or (count < bench.least and spent < 10 * bench.seconds)


def run_group(bench, name, group):
    """Results of a group's entries, in order: each called and compared, then all timed in turns."""
    results, timed = [], []
    for entry in group.entries:
        result = {"suite": name, "case": group.title, "by": entry.by, "note": entry.note, "status": "measured"}
        results.append(result)
        if _attempt(entry, result, lambda: _check(bench, group, entry, result)):
            timed.append(Timed(entry, result))
    copies = [bench.copy_rate()]
    timed = [one for one in timed if _attempt(one.entry, one.result, lambda: bench.time(one.entry.call))]
    while due := [one for one in timed if one.due(bench)]:
        for one in due:
            one.seconds.append(bench.time(one.entry.call))
    copies.append(bench.copy_rate())
    first, limit = statistics.median(timed[0].seconds), statistics.median(copies)
    for one in timed:
        seconds = statistics.median(one.seconds)
        one.result.update(seconds=seconds, fastest=min(one.seconds), samples=len(one.seconds))
        one.result.update(value=group.work / seconds / group.scale, unit=group.unit, timesAsFast=seconds / first)
        if group.of_copy:
            one.result.update(limit="copy", limitValue=limit / 1e9, limits=copies, ofLimit=group.work / seconds / limit)
    return results


def run_cases(bench, names, results):
    """Adds the results of cases, group by group: what was measured is there when a later one ends the run."""
    for name in names:
        for group in CASES[name](bench):
            print(f"{name}: {group.title}", file=sys.stderr, flush=True)
            results += run_group(bench, name, group)
            del group  # the next one's tensors need the room
            if not bench.emulated:
                if hasattr(torch, "compiler"):
                    torch.compiler.reset()
                torch.cuda.empty_cache()
