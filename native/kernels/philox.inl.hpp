// Philox4x32-10 (core/philox.hpp) with a counter a lane. Every target gives the same bits.
// Included by kernels/targets/*.cpp after the simd wrapper.

// The keys of Philox's ten rounds (core/philox.hpp).
struct PhiloxKeys {
  U64 low[10], high[10];
  COVN_MEMBER_INLINE explicit PhiloxKeys(uint64_t key) {
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (size_t round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      low[round] = set_u64(k0);
      high[round] = set_u64(k1);
    }
  }
};

// A counter a lane, a word a vector: the low halves. What the high halves hold never matters.
struct PhiloxWords {
  U64 c0, c1, c2, c3;
  COVN_MEMBER_INLINE void mix(U64 low_key, U64 high_key) {
    const U64 p0 = multiply_low_halves(c0, set_u64(0xD2511F53u)), p1 = multiply_low_halves(c2, set_u64(0xCD9E8D57u));
    c0 = bit_xor(shift_right<32>(p1), c1, low_key);
    c1 = p1;
    c2 = bit_xor(shift_right<32>(p0), c3, high_key);
    c3 = p0;
  }
};

// Independent generators, so that one's multiplications hide the other's latency.
constexpr size_t kPhiloxChains = 2;

// The double in (0, 1) of two words: their upper 52 bits, in the middle of their interval, so that neither end is ever
// drawn. 1 + bits 2^-52 is put together from its bits, and less 1 - 2^-53 exact.
COVN_INLINE F64 uniform_of(U64 high, U64 low) {
  const U64 word = add(shift_left<32>(high), bit_and(low, set_u64(0xffffffffu)));
  return sub(as_doubles(add(shift_right<12>(word), set_u64(kOneBits))), set64(1.0 - 0x1p-53));
}

// Uniforms of samples first .. first + n of one position, from the first two words of the counter {sequence, position,
// sample, stream}.
inline void draw_uniforms(const UniformStream& stream, uint32_t first, size_t n, double* uniforms) {
  constexpr size_t step = kPhiloxChains * U64::lanes;
  const PhiloxKeys keys(stream.seed);
  uint64_t low[step];
  for (size_t i = 0; i < step; i++) low[i] = first + i;
  U64 sample[kPhiloxChains];
  for (size_t c = 0; c < kPhiloxChains; c++) sample[c] = load_u64(low + c * U64::lanes);
  for (size_t i = 0; i < n; i += step) {
    PhiloxWords words[kPhiloxChains];
    for (size_t c = 0; c < kPhiloxChains; c++) {
      words[c] = {set_u64(stream.sequence), set_u64(stream.position), sample[c], set_u64(stream.stream)};
      sample[c] = add(sample[c], set_u64(step));
    }
    for (size_t round = 0; round < 10; round++) {
      for (size_t c = 0; c < kPhiloxChains; c++) words[c].mix(keys.low[round], keys.high[round]);
    }
    double drawn[step];
    double* const out = n - i < step ? drawn : uniforms + i;
    for (size_t c = 0; c < kPhiloxChains; c++) store64(out + c * F64::lanes, uniform_of(words[c].c0, words[c].c1));
    for (size_t k = 0; out == drawn && k < n - i; k++) uniforms[i + k] = drawn[k];
  }
}
