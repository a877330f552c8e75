"""Best-of-N from a tabular model of 64 states and 64 tokens: responses of 64 tokens, drawn, scored and reduced."""

import math

from bench import Entry, Group, case, torch

STATES, VOCAB, LENGTH, SEED = 64, 64, 64, 3


@case("bestOfN")
def best_of_n(bench):
    samples = bench.size(1 << 26, 1 << 23, 3000)
    logits = torch.randn(STATES, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    log_probs = (2 * logits).log_softmax(-1)
    next_state = torch.randint(STATES, (STATES, VOCAB), dtype=torch.int32, generator=torch.Generator().manual_seed(6))

    lib = bench.library
    model = lib.call("rollout_model", STATES, VOCAB, log_probs, next_state)
    tables = torch.empty(3, STATES * VOCAB, dtype=torch.int64)
    lib.call("rollout_tables", model, tables)
    tables = tables.to(bench.device)
    count = lib.call("rollout_parts", samples, LENGTH)
    parts = bench.bytes(count * lib.sizes["rollout_part"])
    prompt = bench.empty(2, dtype=torch.int64).zero_()
    size = bench.empty(1, dtype=torch.int64).fill_(samples)
    sums = bench.empty(6, dtype=torch.int64)

    def covn():
        sums.zero_()
        lib.enqueue("rollouts", STATES, VOCAB, tables, samples, LENGTH, SEED, prompt, size, sums, parts)

    def covn_error():
        """Of the best response's log-prob; infinite where it is not the CPU's, or tokens are missing."""
        found, wanted = torch.empty(2, dtype=torch.float64), torch.empty(2, dtype=torch.float64)
        lib.call("rollout_best", parts.cpu(), count, found)
        lib.check(lib.call("rollout_expected", model, samples, LENGTH, SEED, wanted), "rollout_expected")
        same = found[0] == wanted[0] and sums[2].item() == samples * LENGTH
        return abs(found[1] - wanted[1]).item() if same else math.inf

    probabilities, steps = log_probs.exp().float().to(bench.device), next_state.long().to(bench.device)
    nats = log_probs.float().to(bench.device)

    def multinomial(together=1 << 20):
        """Some at a time: torch has the probabilities of each response's state in memory."""
        best = torch.full((), -math.inf, device=bench.device)
        for begin in range(0, samples, together):
            state = torch.zeros(min(together, samples - begin), dtype=torch.long, device=bench.device)
            total = torch.zeros(len(state), device=bench.device)
            for _ in range(LENGTH):
                token = torch.multinomial(probabilities[state], 1)[:, 0]
                total += nats[state, token]
                state = steps[state, token]
            best = torch.maximum(best, total.max())
        return best

    entries = [
        Entry("covn", covn, covn_error, 0.0, parts.numel() + tables.numel() * 8, "tables included"),
        Entry("torch.multinomial, 2^20 responses at a time", multinomial),
    ]
    yield Group(f"{STATES} states, {VOCAB} tokens, {samples} x {LENGTH}", samples * LENGTH, "Gtokens/s", entries)
