"""The case of scoreHidden: log-probs from hidden states and the weights of the head."""

import math

from bench import DTYPES, Entry, Group, case, torch

PEER_ROWS = 2048  # of logits at a time: large enough for a product's full rate


@case("scoreHidden")
def score_hidden(bench):
    rows, width, vocab = bench.size((8192, 4096, 128256), (2048, 4096, 128256), (70, 64, 600))
    yield hidden_group(bench, "bf16", rows, width, vocab)
    yield hidden_group(bench, "f32", *bench.size((2048, 4096, 128256), (512, 4096, 32000), (70, 64, 300)))


def exact_tokens(hidden, weight, targets):
    """Log-probs of targets in float64, by stripes of the weights."""
    wide = hidden.double()
    step = 1 << 14
    logits = torch.cat([wide @ weight[i : i + step].double().t() for i in range(0, len(weight), step)], 1)
    return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]


def hidden_group(bench, dtype, rows, width, vocab):
    hidden = bench.normals(rows, width, dtype=bench.dtypes[dtype])
    weight = bench.normals(vocab, width, dtype=bench.dtypes[dtype], sd=5.0 / math.sqrt(width))
    targets = bench.integers(vocab, rows, dtype=torch.int32)
    long_targets = targets.long()
    some = bench.some_rows(rows, min(rows, 64))
    exact = exact_tokens(hidden[some], weight, long_targets[some])

    lib, code = bench.library, DTYPES[dtype]
    workspace = bench.bytes(lib.call("hidden_workspace", code, rows, width, vocab))
    totals = bench.bytes(rows * lib.sizes["hidden_total"])
    target_logits = bench.empty(rows, dtype=torch.float32)

    def covn():
        sizes = (rows, width, vocab)
        lib.enqueue(
            "hidden", code, hidden, weight, *sizes, None, 0.0, 1.0, targets, workspace, totals, target_logits
        )

    def covn_error():
        tokens = torch.empty(rows, dtype=torch.float64)
        lib.call("hidden_finish", totals.cpu(), target_logits.cpu(), rows, 1.0, tokens)
        return (tokens[some] - exact.cpu()).abs().max().item()

    def peer(by, function, note=""):
        kept = {}

        def call():
            parts = zip(hidden.split(PEER_ROWS), long_targets.split(PEER_ROWS))
            kept["tokens"] = torch.cat([function(part, at) for part, at in parts])

        return Entry(by, call, lambda: (kept["tokens"][some].double() - exact).abs().max().item(), note=note)

    def cross_entropy(part, at):
        logits = torch.matmul(part, weight.t())
        return -torch.nn.functional.cross_entropy(logits.float(), at, reduction="none")

    def wide_cross_entropy(part, at):
        logits = torch.mm(part, weight.t(), out_dtype=torch.float32)
        return -torch.nn.functional.cross_entropy(logits, at, reduction="none")

    def narrow_cross_entropy(part, at):
        return -torch.nn.functional.cross_entropy(torch.matmul(part, weight.t()), at, reduction="none")

    def matmul():
        for part in hidden.split(PEER_ROWS):
            torch.matmul(part, weight.t())

    chunks = f"{min(rows, PEER_ROWS)} rows at a time"
    # Sums of products in float: a device's order and rounding are its own, and 16-bit logits would be off by 0.06.
    entries = [
        Entry("covn", covn, covn_error, 1e-3, workspace.numel(), "token, logZ, entropy, rank"),
        peer(f"torch matmul + cross_entropy of {dtype} logits as floats", cross_entropy, f"token; {chunks}"),
        peer("torch.compile of that", bench.compiled(cross_entropy), f"token; {chunks}"),
        Entry("torch matmul alone", matmul, note=f"nothing but logits; {chunks}"),
    ]
    if dtype != "f32":
        entries.insert(3, peer(f"torch matmul + cross_entropy in {dtype}", narrow_cross_entropy, f"token; {chunks}"))
        entries.insert(4, peer("torch mm into floats + cross_entropy", wide_cross_entropy, f"token; {chunks}"))
    return Group(f"{dtype}, {rows} x {width} x {vocab}", 2 * rows * width * vocab, "TFLOP/s", entries)
