"""numpy and PyTorch, timed at the work of covn's suites. One JSON request a line in, one JSON reply a line out: a list of
{"by", "how", "work", "seconds"} or {"by", "missing"}. Each peer in its fastest form known: blocks that fit the cache, memory
allocated beforehand."""

import json
import math
import sys
import time

import numpy as np

try:
    import torch
except ImportError:
    torch = None

POOL = 1_000_003
NUMPY_BYTES = 1 << 26  # numpy is slow enough that a part shows its rate
ONCE = {"samples": 1, "seconds": 0}


def timed(call, request, warm=True):
    """Seconds of each call, after one that is not counted."""
    if warm:
        call()
    seconds = []
    began = time.perf_counter()
    while len(seconds) < request["samples"] or time.perf_counter() - began < request["seconds"]:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def normals(count, sd, seed=1):
    pool = np.random.default_rng(seed).normal(0.0, sd, min(count, POOL)).astype(np.float32)
    return np.resize(pool, count)


def tensor(count, sd, dtype, shape):
    types = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
    pool = torch.from_numpy(normals(min(count, POOL), sd)).to(types[dtype])
    out = torch.empty(count, dtype=types[dtype])
    for begin in range(0, count, POOL):
        out[begin : begin + POOL] = pool[: min(POOL, count - begin)]
    return out.reshape(shape)


def rows_a_block(vocab):
    """16 rows, as of V >= 32000; shorter rows in larger blocks."""
    return 16 * max(1, round(32000 / vocab))


def torch_logprob(request):
    rows, vocab, dtype = request["rows"], request["vocab"], request["dtype"]
    x = tensor(rows * vocab, request["sd"], dtype, (rows, vocab))
    targets = torch.from_numpy(np.random.default_rng(2).integers(0, vocab, (rows, 1)))
    block = min(rows, rows_a_block(vocab))
    out = torch.empty((block, vocab), dtype=x.dtype)

    def call():
        for begin in range(0, rows, block):
            part = x[begin : begin + block]
            all_ = out[: len(part)]
            torch.ops.aten._log_softmax.out(part, -1, False, out=all_)
            all_.gather(1, targets[begin : begin + block])

    seconds = timed(call, request)
    how = f"{torch.__version__}, log_softmax, chunks of {block} rows"
    return [{"by": "torch", "how": how, "work": rows * vocab * x.element_size(), "seconds": seconds}]


def numpy_logprob(request):
    vocab, dtype = request["vocab"], request["dtype"]
    size = 4 if dtype == "f32" else 2
    rows = max(1, min(request["rows"], NUMPY_BYTES // size // vocab))
    x = normals(rows * vocab, request["sd"]).reshape(rows, vocab)
    if dtype == "bf16":
        x = (x.view(np.uint32) >> 16).astype(np.uint16)
    elif dtype == "f16":
        x = x.astype(np.float16)
    targets = np.random.default_rng(2).integers(0, vocab, rows)
    block = min(rows, rows_a_block(vocab))
    out = np.empty((block, vocab), np.float32)
    token = np.empty(rows, np.float32)

    def call():
        for begin in range(0, rows, block):
            part = x[begin : begin + block]
            if dtype == "bf16":
                part = (part.astype(np.uint32) << 16).view(np.float32)
            elif dtype == "f16":
                part = part.astype(np.float32)
            shifted = out[: len(part)]
            np.subtract(part, part.max(1, keepdims=True), out=shifted)
            chosen = shifted[np.arange(len(part)), targets[begin : begin + block]]
            np.exp(shifted, out=shifted)
            token[begin : begin + block] = chosen - np.log(shifted.sum(1))

    seconds = timed(call, request)
    how = f"{np.__version__}, blocks of {block} rows"
    return [{"by": "numpy", "how": how, "work": rows * vocab * size, "seconds": seconds}]


def affordable_rows(request):
    """As many rows as the product does in a few seconds: without an optimised BLAS it is a hundred times slower."""
    rows, width, vocab = request["rows"], request["width"], min(request["vocab"], 4096)
    hidden, weight = (tensor(n * width, 1.0, request["dtype"], (n, width)) for n in (rows, vocab))
    seconds = timed(lambda: torch.matmul(hidden, weight.t()), ONCE)[0]
    return max(1, min(rows, int(rows * 4.0 / (seconds * request["vocab"] / vocab))))


def torch_hidden(request):
    width, vocab, dtype = request["width"], request["vocab"], request["dtype"]
    rows = affordable_rows(request)
    hidden = tensor(rows * width, 1.0, dtype, (rows, width))
    weight = tensor(vocab * width, 5.0 / math.sqrt(width), dtype, (vocab, width)).t()
    targets = torch.from_numpy(np.random.default_rng(2).integers(0, vocab, (rows, 1)))
    logits = torch.empty((rows, vocab), dtype=hidden.dtype)
    all_ = torch.empty_like(logits)

    def call():
        torch.matmul(hidden, weight, out=logits)
        torch.ops.aten._log_softmax.out(logits, -1, False, out=all_)
        all_.gather(1, targets)

    how = f"{torch.__version__}, matmul + log_softmax, {rows} rows"
    return [{"by": f"torch {dtype}", "how": how, "work": 2 * rows * width * vocab, "seconds": timed(call, request)}]


def tournament_data(request):
    models, responses = request["models"], request["responses"]
    values = np.random.default_rng(3).normal(-300.0, 20.0, (models, responses))
    return models, responses, values, [math.log(n) for n in request["N"]]


def best_block(count_with, responses, request):
    """The seconds of the best of several block sizes, and that size."""
    blocks = [b for b in (500, 2000, 8000) if b < responses] or [responses]
    results = [(timed(lambda block=block: count_with(block), ONCE, warm=False), block) for block in blocks]
    block = min(results)[1]
    return timed(lambda: count_with(block), request, warm=False), block


def numpy_tournament(request):
    """In blocks of responses that fit the cache, and as written first: one model against all others, whole rows."""
    models, responses, values, thresholds = tournament_data(request)
    counts = np.zeros((len(thresholds), models, models), np.int64)

    def call(block):
        counts[:] = 0
        for begin in range(0, responses, block):
            part = np.ascontiguousarray(values[:, begin : begin + block])
            for i in range(models):
                difference = part - part[i]
                for k, threshold in enumerate(thresholds):
                    counts[k, i] += np.count_nonzero(difference >= threshold, axis=1)

    work = models * models * responses
    seconds, block = best_block(call, responses, request)
    whole = timed(lambda: call(responses), ONCE, warm=False)
    return [
        {"by": "numpy by blocks", "how": f"{np.__version__}, {block} responses", "work": work, "seconds": seconds},
        {"by": "numpy by rows", "how": np.__version__, "work": work, "seconds": whole},
    ]


def torch_tournament(request):
    models, responses, values, thresholds = tournament_data(request)
    counts = torch.zeros((len(thresholds), models, models), dtype=torch.int64)
    values = torch.from_numpy(values)

    def call(block):
        counts.zero_()
        for begin in range(0, responses, block):
            part = values[:, begin : begin + block].contiguous()
            for i in range(models):
                difference = part - part[i]
                for k, threshold in enumerate(thresholds):
                    counts[k, i] += (difference >= threshold).sum(1)

    seconds, block = best_block(call, responses, request)
    how = f"{torch.__version__}, blocks of {block} responses"
    return [{"by": "torch", "how": how, "work": models * models * responses, "seconds": seconds}]


def numpy_best_of_n(request):
    """The estimator as HumanEval publishes it, problem by problem, and in whole arrays with scipy's gammaln."""
    n, size, problems = request["n"], request["N"], request["problems"]
    correct = np.random.default_rng(4).integers(0, n + 1, problems)
    few = correct[: min(problems, 5000)]

    def published():
        return np.mean([1.0 if n - c < size else 1.0 - np.prod(1.0 - size / np.arange(n - c + 1, n + 1)) for c in few])

    how = f"{np.__version__}, HumanEval's estimator"
    results = [{"by": "numpy", "how": how, "work": 1e3 * len(few), "seconds": timed(published, request)}]
    try:
        import scipy
        from scipy.special import gammaln
    except ImportError:
        return results + [{"by": "scipy", "missing": "not installed"}]

    def whole_arrays():
        left = n - correct
        enough = np.where(left >= size, left, size)
        avoid = gammaln(enough + 1) - gammaln(enough - size + 1) - gammaln(n + 1) + gammaln(n - size + 1)
        return np.mean(np.where(left >= size, -np.expm1(avoid), 1.0))

    how = f"{scipy.__version__}, gammaln"
    return results + [{"by": "scipy", "how": how, "work": 1e3 * problems, "seconds": timed(whole_arrays, request)}]


def torch_sample(request):
    rows, vocab, size = request["rows"], request["vocab"], request["N"]
    x = tensor(rows * vocab, 5.0, "f32", (rows, vocab))
    work = 4 * rows * vocab if size == 1 else 1e3 * rows * size
    calls = {
        "softmax, multinomial": lambda: torch.multinomial(torch.softmax(x, -1), size, replacement=True),
        "softmax, argmax of p / exponential": lambda: torch.softmax(x, -1).div_(torch.empty_like(x).exponential_(1.0)).argmax(-1),
    }
    if size > 1:
        calls.popitem()
    how = min(calls, key=lambda name: min(timed(calls[name], ONCE)))
    return [{"by": "torch", "how": f"{torch.__version__}, {how}", "work": work, "seconds": timed(calls[how], request)}]


def numpy_sample(request):
    vocab, size = request["vocab"], request["N"]
    rows = max(1, min(request["rows"], NUMPY_BYTES // 8 // vocab))
    x = normals(rows * vocab, 5.0).reshape(rows, vocab)
    rng = np.random.default_rng(5)
    ids = np.empty((rows, size), np.int64)

    def call():
        for row in range(rows):
            sums = np.cumsum(np.exp(x[row] - x[row].max()), dtype=np.float64)
            ids[row] = np.searchsorted(sums, rng.random(size) * sums[-1], side="right")

    work = 4 * rows * vocab if size == 1 else 1e3 * rows * size
    how = f"{np.__version__}, cumsum and searchsorted"
    return [{"by": "numpy", "how": how, "work": work, "seconds": timed(call, request)}]


def numpy_model(request):
    """Alias tables, all responses side by side."""
    states, vocab, count, length = request["states"], request["vocab"], 16384, 16
    rng = np.random.default_rng(6)
    weights = np.exp(rng.normal(0.0, 1.5, (states, vocab)))
    log_probs = np.log(weights / weights.sum(1, keepdims=True))
    # Tables of the right size with any content: what is timed does not depend on it.
    share, alias = rng.random((states, vocab)), rng.integers(0, vocab, (states, vocab))
    following = rng.integers(0, states, (states, vocab))

    def call():
        state, total = np.zeros(count, np.int64), np.zeros(count)
        for _ in range(length):
            u = rng.random(count) * vocab
            column = u.astype(np.int64)
            token = np.where(u - column < share[state, column], column, alias[state, column])
            total += log_probs[state, token]
            state = following[state, token]

    work = 1e3 * count * length
    return [{"by": "numpy", "how": f"{np.__version__}, alias tables", "work": work, "seconds": timed(call, request)}]


PEERS = {
    ("sample", "torch"): torch_sample,
    ("sample", "numpy"): numpy_sample,
    ("model", "numpy"): numpy_model,
    ("logprob", "torch"): torch_logprob,
    ("logprob", "numpy"): numpy_logprob,
    ("hidden", "torch"): torch_hidden,
    ("tournament", "torch"): torch_tournament,
    ("tournament", "numpy"): numpy_tournament,
    ("best-of-n", "numpy"): numpy_best_of_n,
}


def main():
    for line in sys.stdin:
        request = json.loads(line)
        kind, by = request["kind"], request["by"]
        try:
            if torch is not None:
                torch.set_num_threads(request["threads"])
                torch.set_grad_enabled(False)
            reply = PEERS[kind, by](request)
        except Exception as error:  # an operation that this version lacks
            reply = [{"by": by, "missing": f"failed: {str(error).splitlines()[0][:120] if str(error) else repr(error)}"}]
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # the terminal's, which covn has got too
        sys.exit(130)
