"""Cases that count: pairwise coverage and coverage tails. Counts are whole numbers, and have to be torch's."""

import math

from bench import Entry, Group, case, torch

N = (1, 2, 4, 8, 16, 64, 256, 1024)


def thresholds_of(bench):
    return torch.tensor([math.log(n) for n in N], dtype=torch.float64, device=bench.device)


@case("pairwise")
def pairwise(bench):
    models, responses = bench.size((256, 1_000_000), (256, 100_000), (70, 300))
    values = bench.normals(models, responses, dtype=torch.float64, mean=-300.0, sd=20.0)
    thresholds = thresholds_of(bench)
    counts = bench.empty(len(N), models, models, dtype=torch.int64)
    bad = bench.empty(1, dtype=torch.int64)

    def covn():
        counts.zero_()  # they are added to
        bad.fill_(-1)
        bench.library.enqueue("pairwise", values, models, responses, thresholds, len(N), counts, bad)

    some = bench.some_rows(models)
    exact = torch.stack([count_others(values, values[i : i + 1], thresholds)[:, 0] for i in some], 1)

    def error_of(found):
        return (found[:, some] - exact).abs().max().item()

    def covn_error():
        return error_of(counts) if bad.item() == -1 else math.inf

    def eager(block=125_000):
        """A model against all others, in blocks of responses."""
        found = torch.zeros(len(N), models, models, dtype=torch.int64, device=bench.device)
        for begin in range(0, responses, block):
            part = values[:, begin : begin + block]
            for i in range(models):
                found[:, i] += count_others(part, part[i : i + 1], thresholds)[:, 0]
        return found

    compiled_count = bench.compiled(count_others)

    def compiled(models_together=8):
        starts = range(0, models, models_together)
        return torch.cat([compiled_count(values, values[i : i + models_together], thresholds) for i in starts], 1)

    def peer(by, function):
        kept = {}

        def call():
            kept["counts"] = function()

        return Entry(by, call, lambda: error_of(kept["counts"]))

    entries = [
        Entry("covn", covn, covn_error, 0.0, counts.numel() * 8, "counts"),
        peer("torch, a model at a time", eager),
        peer("torch.compile, 8 models at a time", compiled),
    ]
    title = f"{models} models, {responses} responses, {len(N)} thresholds"
    yield Group(title, models * models * responses, "Gpairs/s", entries)


def count_others(values, firsts, thresholds):
    """[thresholds, firsts, models]: how often a model exceeds each of `firsts` by at least a threshold."""
    difference = values[None] - firsts[:, None]
    return torch.stack([(difference >= threshold).sum(-1) for threshold in thresholds])


@case("tailCounts")
def tail_counts(bench):
    count = bench.size(200_000_000, 20_000_000, 10_000)
    log_ratios = bench.normals(count, dtype=torch.float64, sd=3.0)
    for weights in (None, bench.normals(count, dtype=torch.float64).abs_()):
        yield tail_group(bench, log_ratios, weights)


def tail_group(bench, log_ratios, weights):
    count, lib = len(log_ratios), bench.library
    thresholds = thresholds_of(bench)
    sums = bench.empty(len(N), lib.sizes["tail_sums"] // 8, dtype=torch.int64)  # count; low and high of the weights
    bad = bench.empty(1, dtype=torch.int64)
    unit = 0 if weights is None else lib.call("tail_unit", weights.max().item(), count)

    def covn():
        sums.zero_()
        bad.fill_(-1)
        lib.enqueue("tails", log_ratios, weights, count, thresholds, len(N), unit, sums, bad)

    def simple(x, w):
        reached = [x >= threshold for threshold in thresholds]
        counts = torch.stack([mask.sum() for mask in reached])
        masses = counts if w is None else torch.stack([torch.where(mask, w, 0.0).sum() for mask in reached])
        return counts, masses

    def searched(x, w):
        place = torch.bucketize(x, thresholds, right=True)
        counts = torch.bincount(place, minlength=len(N) + 1)
        masses = counts if w is None else torch.bincount(place, w, minlength=len(N) + 1)
        return tuple(n.flip(0).cumsum(0).flip(0)[1:] for n in (counts, masses))

    exact_counts, exact_masses = simple(log_ratios, weights)

    def error_of(counts, masses):
        """Of the weights, relatively; infinite where a count differs."""
        if not torch.equal(counts, exact_counts):
            return math.inf
        return 0.0 if weights is None else ((masses - exact_masses).abs() / exact_masses).max().item()

    def covn_error():
        if bad.item() != -1:
            return math.inf
        rows = [[number % 2**64 for number in row] for row in sums.tolist()]
        masses = [math.ldexp(high * 2**64 + low, unit) for _, low, high in rows]
        return error_of(sums[:, 0], torch.tensor(masses, dtype=torch.float64, device=bench.device))

    def peer(by, function):
        kept = {}

        def call():
            kept["sums"] = function(log_ratios, weights)

        return Entry(by, call, lambda: error_of(*kept["sums"]))

    entries = [
        Entry("covn", covn, covn_error, 1e-10, sums.numel() * 8, "counts" if weights is None else "counts, weights"),
        peer("torch, a threshold at a time", simple),
        peer("torch bucketize + bincount", searched),
        peer("torch.compile, all thresholds", bench.compiled(simple)),
    ]
    inputs = 1 if weights is None else 2
    title = f"{count} log ratios{'' if weights is None else ' with weights'}, {len(N)} thresholds"
    return Group(title, 8 * inputs * count, "GB/s", entries, of_copy=True)
