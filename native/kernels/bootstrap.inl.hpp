// Bootstrap replicates: which units they draw, and what they weigh. Every target gives the same bits.
// Included by kernels/targets/*.cpp after kernels/philox.inl.hpp.

inline void draw_units(DrawStream draws, uint64_t first, size_t n, uint32_t unit_count, uint64_t* drawn) {
  constexpr size_t step = kPhiloxChains * U64::lanes;
  const PhiloxKeys keys(draws.seed);
  const U64 bound = set_u64(unit_count);
  uint64_t lane[step];
  for (size_t i = 0; i < step; i++) lane[i] = first + i;
  U64 index[kPhiloxChains];
  for (size_t c = 0; c < kPhiloxChains; c++) index[c] = load_u64(lane + c * U64::lanes);
  for (size_t i = 0; i < n; i += step) {
    PhiloxWords words[kPhiloxChains];
    for (size_t c = 0; c < kPhiloxChains; c++) {
      words[c] = {index[c], shift_right<32>(index[c]), set_u64(draws.replicate), set_u64(draws.stream)};
      index[c] = add(index[c], set_u64(step));
    }
    for (size_t round = 0; round < 10; round++) {
      for (size_t c = 0; c < kPhiloxChains; c++) words[c].mix(keys.low[round], keys.high[round]);
    }
    uint64_t* const out = n - i < step ? lane : drawn + i;
    for (size_t c = 0; c < kPhiloxChains; c++) {
      // bounded(): the high word of a product of 64 and 32 bits.
      const U64 low = shift_right<32>(multiply_low_halves(words[c].c1, bound));
      store(out + c * U64::lanes, shift_right<32>(add(multiply_low_halves(words[c].c0, bound), low)));
    }
    if (out == lane) {
      for (size_t k = 0; k < n - i; k++) drawn[i + k] = lane[k];
    }
  }
}

// No branch on the count: which responses reach a threshold cannot be predicted, and a row takes few vectors.
inline void count_replicates(const double* theirs, const double* mine, size_t n, const double* thresholds,
                             size_t threshold_count, const ReplicateWeights& replicates, uint32_t* counts) {
  const size_t width = replicates.width;
  for (size_t i = 0; i < n; i += F64::lanes) {
    const F64 difference = sub(load64_padded(theirs + i, n - i), load64_padded(mine + i, n - i));
    U64 reached = set_u64(0);
    for (size_t k = 0; k < threshold_count; k++) reached = add_at_least(reached, difference, set64(thresholds[k]));
    uint64_t row[U64::lanes];
    store(row, reached);
    const size_t end = n - i < F64::lanes ? n - i : F64::lanes;
    for (size_t r = 0; r < end; r++) {
      const uint8_t* const weights = replicates.weights + static_cast<size_t>(replicates.units[i + r]) * width;
      uint32_t* const sums = counts + row[r] * width;
      for (size_t b = 0; b < width; b += kReplicateGroup) add_bytes(sums + b, weights + b);
    }
  }
}

// Responses whose weights stay in the first-level cache while one group of sums after another is kept in registers.
constexpr size_t kSumResponses = 128;

inline void sum_replicates(const double* values, size_t n, const ReplicateWeights& replicates, double* sums) {
  constexpr size_t vectors = kReplicateGroup / F64::lanes;
  const size_t width = replicates.width;
  for (size_t begin = 0; begin < n; begin += kSumResponses) {
    const size_t end = n - begin < kSumResponses ? n : begin + kSumResponses;
    for (size_t b = 0; b < width; b += kReplicateGroup) {
      F64 sum[vectors];
      for (size_t k = 0; k < vectors; k++) sum[k] = load64(sums + b + k * F64::lanes);
      for (size_t r = begin; r < end; r++) {
        const uint8_t* const weights = replicates.weights + static_cast<size_t>(replicates.units[r]) * width + b;
        const F64 value = set64(values[r] >= -COVN_LARGEST ? values[r] : 0.0);
        for (size_t k = 0; k < vectors; k++) sum[k] = add(sum[k], mul(load64(weights + k * F64::lanes), value));
      }
      for (size_t k = 0; k < vectors; k++) store64(sums + b + k * F64::lanes, sum[k]);
    }
  }
}
