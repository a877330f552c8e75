// Responses of a tabular model, drawn side by side. Every target gives the same bits. After kernels/philox.inl.hpp.

// Vectors of lanes advanced together, to hide the latency of look-ups.
constexpr size_t kRolloutChains = 4;
constexpr size_t kRolloutStep = kRolloutChains * U64::lanes;
static_assert(kRolloutLanes % kRolloutStep == 0);

// Chooses again where the first 32 bits of the draw do not decide. Seldom called.
COVN_NOINLINE U64 choose_again(const RolloutTables& tables, uint64_t seed, size_t position, const RolloutLanes& lanes,
                               size_t lane, U64 first, U64 width, U64 word) {
  uint64_t firsts[U64::lanes], widths[U64::lanes], words[U64::lanes];
  store(firsts, first);
  store(widths, width);
  store(words, word);
  for (size_t i = 0; i < U64::lanes; i++) {
    const PhiloxCounter bits =
        philox4x32({static_cast<uint32_t>(lanes.sequence[lane + i]), static_cast<uint32_t>(position),
                    static_cast<uint32_t>(lanes.sample[lane + i]), kRolloutStream + 1},
                   seed);
    words[i] =
        chosen_entry(tables, firsts[i], widths[i], static_cast<uint32_t>(words[i]), uint64_t{bits[0]} << 32 | bits[1]);
  }
  return load_u64(words);
}

// Advances lanes by up to `steps` tokens from a position that is a multiple of 4, until all have ended. `tokens`,
// unless null: those of every lane i from tokens[i * stride] on, written by fours, those after its end meaning
// nothing.
template <bool Sparse, bool Follow>
void roll_out(const RolloutTables& tables, const FollowTables& follow, uint64_t seed, size_t position, size_t steps,
              RolloutLanes& lanes, int32_t* tokens, size_t stride) {
  const PhiloxKeys keys(seed);
  const U64 low = set_u64(0xffffffffu);
  const U64 end = set_u64(tables.end), state_bits = set_u64((uint64_t{1} << kStateBits) - 1);
  for (size_t lane = 0; lane < kRolloutLanes; lane += kRolloutStep) {
    U64 state[kRolloutChains], surprisal[kRolloutChains], length[kRolloutChains], followed[kRolloutChains];
    F64 followed_log_prob[kRolloutChains];
    PhiloxPositions positions[kRolloutChains];
    for (size_t c = 0; c < kRolloutChains; c++) {
      const size_t at = lane + c * U64::lanes;
      state[c] = load_u64(lanes.state + at);
      surprisal[c] = load_u64(lanes.surprisal + at);
      length[c] = load_u64(lanes.length + at);
      positions[c] = {keys, load_u64(lanes.sequence + at), load_u64(lanes.sample + at), set_u64(kRolloutStream)};
      if (!Follow) continue;
      followed[c] = load_u64(lanes.follow + at);
      followed_log_prob[c] = load64(lanes.follow_log_prob + at);
    }
    for (size_t step = 0; step < steps; step += 4) {
      bool active = false;
      for (size_t c = 0; c < kRolloutChains; c++) active = active || any_below(state[c], end);
      if (!active) break;
      PhiloxWords words[kRolloutChains];
      for (size_t c = 0; c < kRolloutChains; c++) words[c] = positions[c].third_round(set_u64((position + step) / 4));
      for (size_t round = 3; round < 10; round++) {
        for (size_t c = 0; c < kRolloutChains; c++) words[c].mix(keys.low[round], keys.high[round]);
      }
      const size_t count = steps - step < 4 ? steps - step : 4;
      U64 drawn[kRolloutChains][4];
      for (size_t w = 0; w < count; w++) {
        // Every chain's entry is looked up before any outcome, so that one look-up is under way behind the other.
        U64 chosen[kRolloutChains], index[kRolloutChains];
#pragma GCC unroll 4
        for (size_t c = 0; c < kRolloutChains; c++) {
          const U64 word = w == 0 ? words[c].c0 : w == 1 ? words[c].c1 : w == 2 ? words[c].c2 : words[c].c3;
          U64 first, width;
          if (Sparse) {
            const U64 row = gather(tables.rows, state[c]);
            first = bit_and(row, low);
            width = shift_right<32>(row);
          } else {
            width = set_u64(tables.width);
            first = multiply_low_halves(state[c], width);
          }
          const U64 scaled = multiply_low_halves(word, width);
          const U64 column = shift_right<32>(scaled), place = bit_and(scaled, low);
          const U64 entry = gather(tables.columns, add(first, column));
          const U64 threshold = shift_right<32>(entry);
          U64 choice;  // not an element of the array: that would be kept in memory
          // Bits to come move the place by less than the width: over the threshold, or into the next column.
          if (!choose_below(place, threshold, width, column, bit_and(entry, low), choice)) {
            choice = choose_again(tables, seed, position + step + w, lanes, lane + c * U64::lanes, first, width, word);
          }
          chosen[c] = choice;
          index[c] = add(first, choice);
        }
#pragma GCC unroll 4
        for (size_t c = 0; c < kRolloutChains; c++) {
          const U64 outcome = gather(tables.outcomes, index[c]);
          const U64 before = state[c];
          state[c] = bit_and(outcome, state_bits);
          surprisal[c] = add(surprisal[c], shift_right<kStateBits>(outcome));
          length[c] = count_below(length[c], before, end);
          if (!Follow && tokens == nullptr) continue;
          const U64 token = Sparse ? gather(tables.tokens, index[c]) : chosen[c];
          if (Follow) {
            const U64 at = add(followed[c], follow.classes == nullptr ? token : gather(follow.classes, token));
            followed[c] = select_below(before, end, gather(follow.next, at), followed[c]);
            if (follow.log_probs != nullptr) {
              const U64 counted = select_below(before, end, at, set_u64(follow.zero));
              followed_log_prob[c] = add(followed_log_prob[c], gather64(follow.log_probs, counted));
            }
          }
          drawn[c][w] = token;
        }
      }
      if (tokens == nullptr) continue;
      for (size_t c = 0; c < kRolloutChains; c++) {
        for (size_t w = count; w < 4; w++) drawn[c][w] = low;
        store_rows(tokens + step + (lane + c * U64::lanes) * stride, stride, drawn[c]);
      }
    }
    for (size_t c = 0; c < kRolloutChains; c++) {
      const size_t at = lane + c * U64::lanes;
      store(lanes.state + at, state[c]);
      store(lanes.surprisal + at, surprisal[c]);
      store(lanes.length + at, length[c]);
      if (!Follow) continue;
      store(lanes.follow + at, followed[c]);
      store64(lanes.follow_log_prob + at, followed_log_prob[c]);
    }
  }
}
