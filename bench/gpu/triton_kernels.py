"""Kernels in Triton, as one would write them by hand: peers of covn's."""

try:
    import triton
    import triton.language as tl

    missing_triton = None
except ImportError as error:
    triton, missing_triton = None, str(error)

if triton is not None:

    @triton.autotune(
        [
            triton.Config({"BLOCK": block}, num_warps=warps)
            for block, warps in ((1024, 4), (2048, 4), (4096, 8), (8192, 8), (8192, 16))
        ],
        key=["vocab"],
    )
    @triton.jit
    def _online_softmax(logits, targets, tokens, vocab, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        base = logits + row * vocab
        offsets = tl.arange(0, BLOCK)
        largest = tl.full([], float("-inf"), tl.float32)
        sums = tl.zeros([BLOCK], tl.float32)
        for start in range(0, vocab, BLOCK):
            inside = start + offsets < vocab
            x = tl.load(base + start + offsets, mask=inside, other=float("-inf")).to(tl.float32)
            new_largest = tl.maximum(largest, tl.max(x, 0))
            sums = sums * tl.exp(largest - new_largest) + tl.exp(x - new_largest)
            largest = new_largest
        target = tl.load(base + tl.load(targets + row)).to(tl.float32)
        tl.store(tokens + row, target - largest - tl.log(tl.sum(sums, 0)))


def token_log_probs(logits, targets):
    """Log-probs of the targets of rows, in one reading."""
    if triton is None:
        raise RuntimeError(f"no Triton here: {missing_triton}")
    rows, vocab = logits.shape
    tokens = logits.new_empty(rows, dtype=targets.new_empty(0).float().dtype)
    _online_softmax[(rows,)](logits, targets, tokens, vocab)
    return tokens
