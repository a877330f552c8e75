"""Cases of operations on logits: scoreLogits, scorePair, sampleLogits."""

import ctypes

from bench import DTYPES, Entry, Group, case, torch
from triton_kernels import token_log_probs


def logits_of(bench, rows, vocab, dtype):
    return bench.normals(rows, vocab, dtype=bench.dtypes[dtype], sd=5.0)


def exact_tokens(logits, targets, rows):
    """Log-probs of targets in float64."""
    wide = logits[rows].double()
    return wide.gather(1, targets[rows].long()[:, None])[:, 0] - wide.logsumexp(-1)


def largest(difference):
    return difference.abs().max().item()


@case("scoreLogits")
def score_logits(bench):
    for dtype in ("bf16", "f32"):
        for vocab in (128256, 32000):
            yield score_group(bench, dtype, bench.size(8192, 1024, 5), vocab if not bench.emulated else vocab // 20)


def score_group(bench, dtype, rows, vocab):
    x = logits_of(bench, rows, vocab, dtype)
    targets = bench.integers(vocab, rows, dtype=torch.int32)
    index = targets.long()[:, None]
    some = bench.some_rows(rows)
    exact = exact_tokens(x, targets, some)

    lib, code = bench.library, DTYPES[dtype]
    workspace = bench.bytes(lib.call("score_workspace", code, rows, vocab))
    scores = bench.bytes(rows * lib.sizes["score"])

    def covn():
        lib.enqueue("score", code, x, rows, vocab, targets, 1.0, workspace, scores)

    def covn_error():
        numbers = scores.view(torch.float64).view(rows, -1)[some]  # token, log_z, (entropy, rank)
        entropy, rank = scores.view(torch.float32).view(rows, -1)[some, 4], scores.view(torch.int32).view(rows, -1)[some, 5]
        wide = x[some].double()
        logs = wide.log_softmax(-1)
        above = (wide > wide.gather(1, index[some])).sum(-1) + 1
        if not torch.equal(rank.long(), above):
            return float("inf")
        exact_entropy = -(logs.exp() * logs).sum(-1)
        others = max(largest(numbers[:, 1] - wide.logsumexp(-1)), largest(entropy.double() - exact_entropy))
        return max(largest(numbers[:, 0] - exact), others)

    def peer(by, function, **more):
        kept = {}

        def call():
            kept["token"] = function(x, index)

        def error():
            return largest(kept["token"][some].double().view(-1) - exact)

        return Entry(by, call, error, **more)

    def softmax_gather(logits, at):
        return torch.log_softmax(logits, -1, dtype=torch.float32).gather(1, at)[:, 0]

    def sum_gather(logits, at):
        return logits.gather(1, at)[:, 0].float() - torch.logsumexp(logits.float(), -1)

    def all_four(logits, at):
        wide = logits.float()
        target, log_z = wide.gather(1, at), torch.logsumexp(wide, -1, keepdim=True)
        logs = wide - log_z
        entropy, rank = -(logs.exp() * logs).sum(-1), (wide > target).sum(-1) + 1
        return torch.stack([(target - log_z)[:, 0], log_z[:, 0], entropy, rank.float()])

    four = bench.compiled(all_four)
    entries = [
        Entry("covn", covn, covn_error, 2e-5, workspace.numel(), "token, logZ, entropy, rank"),
        peer("torch log_softmax + gather", softmax_gather, note="token"),
        peer("torch logsumexp + gather", sum_gather, note="token"),
        peer("torch.compile logsumexp + gather", bench.compiled(sum_gather), note="token"),
        peer("torch.compile, all outputs", lambda logits, at: four(logits, at)[0], note="token, logZ, entropy, rank"),
    ]
    entries.append(peer("Triton online softmax", lambda logits, at: token_log_probs(logits, targets), note="token"))
    work = x.numel() * x.element_size()
    return Group(f"{dtype}, {rows} x {vocab}", work, "GB/s", entries, of_copy=True)


@case("scorePair")
def score_pair(bench):
    vocab = bench.size(128256, 128256, 3000)
    for dtype in ("bf16", "f32"):
        yield pair_group(bench, dtype, bench.size(4096, 1024, 5), vocab)


def pair_group(bench, dtype, rows, vocab):
    a = logits_of(bench, rows, vocab, dtype)
    b = (a.float() + bench.normals(rows, vocab, dtype=torch.float32)).to(a.dtype)
    targets = bench.integers(vocab, rows, dtype=torch.int32).long()[:, None]
    some = bench.some_rows(rows)

    def distances(reference, model, at):
        """Log ratio of the target, KL and squared Hellinger distance of rows."""
        p, q = torch.log_softmax(reference, -1), torch.log_softmax(model, -1)
        affinity = ((p + q) / 2).exp().sum(-1)
        return torch.stack([(p - q).gather(1, at)[:, 0], (p.exp() * (p - q)).sum(-1), 1 - affinity])

    exact = distances(a[some].double(), b[some].double(), targets[some])

    lib, code = bench.library, DTYPES[dtype]
    count, size = lib.call("pair_parts", vocab), lib.sizes["pair_state"]
    parts = bench.bytes(rows * count * size)

    def covn():
        lib.enqueue("pair", code, a, b, rows, vocab, 1.0, parts)

    def covn_error():
        on_host, found = parts[: rows * count * size].view(rows, -1).cpu(), []
        for row in some:
            result = (ctypes.c_double * 3)()
            at = targets[row, 0]
            lib.call("pair_finish", on_host[row].contiguous(), vocab, a[row, at].item(), b[row, at].item(), 1.0, result)
            found.append(list(result))
        return largest(torch.tensor(found, dtype=torch.float64).t() - exact.cpu())

    def peer(by, function):
        kept = {}

        def call():
            kept["rows"] = function(a, b, targets)

        return Entry(by, call, lambda: largest(kept["rows"][:, some].double() - exact))

    def widened(reference, model, at):
        return distances(reference.float(), model.float(), at)

    def by_chunks(reference, model, at):
        step = max(1, rows // 8)  # eight matrices of floats at a time would not fit
        starts = range(0, rows, step)
        return torch.cat([widened(reference[i : i + step], model[i : i + step], at[i : i + step]) for i in starts], 1)

    entries = [
        Entry("covn", covn, covn_error, 2e-5, parts.numel()),
        peer("torch, log_softmax of both", by_chunks),
        peer("torch.compile, log_softmax of both", bench.compiled(widened)),
    ]
    work = 2 * a.numel() * a.element_size()
    return Group(f"{dtype}, 2 x {rows} x {vocab}", work, "GB/s", entries, of_copy=True)


@case("sampleLogits")
def sample_logits(bench):
    vocab = bench.size(128256, 128256, 3000)
    rows = bench.size(2048, 1024, 3)
    for count in (1, 64, bench.size(4096, 4096, 500)):
        yield sample_group(bench, "f32", rows, vocab, count)


def sample_group(bench, dtype, rows, vocab, count):
    x = logits_of(bench, rows, vocab, dtype)
    some = bench.some_rows(rows, 3)
    seed = 7
    counters = torch.stack([torch.arange(rows), torch.arange(rows) % 5, torch.zeros(rows, dtype=torch.long)])
    counters = counters.to(torch.int32).to(bench.device)

    lib, code = bench.library, DTYPES[dtype]
    workspace = bench.bytes(lib.call("sample_workspace", code, rows, vocab))
    states = bench.bytes(rows * lib.sizes["drawn_row"])
    tokens = bench.empty(rows, count, dtype=torch.int32)
    marks = bench.empty(rows, count, dtype=torch.uint8)
    log_prob = bench.empty(rows, count, dtype=torch.float32)

    def covn():
        filters = (1.0, 0, 1.0, 0.0)
        lib.enqueue("sample", code, x, rows, vocab, counters, *filters, seed, count, workspace, states, tokens, marks, log_prob, None)

    def covn_error():
        """Of the log-probs; infinite where a token that is not marked as open is not that of its uniform."""
        error = 0.0
        for row in some:
            uniforms = torch.empty(count, dtype=torch.float64)
            lib.call("sample_uniforms", seed, row, row % 5, count, uniforms)
            logs = x[row].double().log_softmax(-1)
            sums = logs.exp().cumsum(0)
            expected = torch.searchsorted(sums / sums[-1], uniforms.to(bench.device))
            proved = marks[row] == 0
            if not torch.equal(tokens[row].long()[proved], expected[proved]) or proved.float().mean() < 0.5:
                return float("inf")
            error = max(error, largest(log_prob[row].double() - logs[tokens[row].long()]))
        return error

    def multinomial():
        return torch.multinomial(torch.softmax(x, -1), count, replacement=True)

    entries = [
        Entry("covn", covn, covn_error, 2e-5, workspace.numel() + states.numel(), "with log-probs"),
        Entry("torch softmax + multinomial", multinomial),
    ]
    if count == 1:

        def race(logits):
            return torch.softmax(logits, -1).div_(torch.empty_like(logits).exponential_(1.0)).argmax(-1)

        def gumbel(logits):
            return (logits - torch.log(-torch.log(torch.rand_like(logits)))).argmax(-1)

        compiled = bench.compiled(gumbel)
        entries.append(Entry("torch softmax / exponential, argmax", lambda: race(x)))
        entries.append(Entry("torch.compile Gumbel argmax", lambda: compiled(x)))
    title = f"{dtype}, {rows} x {vocab}, N = {count}"
    if count == 1:
        return Group(title, x.numel() * x.element_size(), "GB/s", entries, of_copy=True)
    return Group(title, rows * count, "Gdraws/s", entries)
