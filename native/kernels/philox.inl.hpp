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

// Counters {sequence, position, sample, stream} of lanes at any position. Of the first three rounds, what depends on no
// position is formed once.
struct PhiloxPositions {
  U64 first_c0, second_c2, third_c0, third_c2, third_c3;
  PhiloxPositions() = default;
  COVN_MEMBER_INLINE PhiloxPositions(const PhiloxKeys& keys, U64 sequence, U64 sample, U64 stream) {
    const U64 a = set_u64(0xD2511F53u), b = set_u64(0xCD9E8D57u);
    const U64 first_c3 = multiply_low_halves(sequence, a), first_c1 = multiply_low_halves(sample, b);
    const U64 first_c2 = bit_xor(shift_right<32>(first_c3), stream, keys.high[0]);
    const U64 second_c1 = multiply_low_halves(first_c2, b);
    const U64 second_c0 = bit_xor(shift_right<32>(second_c1), first_c1, keys.low[1]);
    first_c0 = bit_xor(shift_right<32>(first_c1), keys.low[0]);
    second_c2 = bit_xor(first_c3, keys.high[1]);
    third_c0 = bit_xor(second_c1, keys.low[2]);
    third_c3 = multiply_low_halves(second_c0, a);
    third_c2 = bit_xor(shift_right<32>(third_c3), keys.high[2]);
  }
  // The words after three rounds.
  COVN_MEMBER_INLINE PhiloxWords third_round(U64 position) const {
    const U64 second_c3 = multiply_low_halves(bit_xor(first_c0, position), set_u64(0xD2511F53u));
    const U64 c1 = multiply_low_halves(bit_xor(shift_right<32>(second_c3), second_c2), set_u64(0xCD9E8D57u));
    return {bit_xor(shift_right<32>(c1), third_c0), c1, bit_xor(second_c3, third_c2), third_c3};
  }
};

// Independent generators, so that one's multiplications hide the other's latency.
constexpr size_t kPhiloxChains = 2;

// Uniforms of samples first .. first + n of one position, from the first two words of the counter {sequence, position,
// sample, stream}: the double in (0, 1) of their upper 52 bits, in the middle of their interval, so that neither end is
// ever drawn. Of the first three rounds, what depends on no sample is formed once; of the last, only two words.
inline void draw_uniforms(const UniformStream& stream, uint32_t first, size_t n, double* uniforms) {
  constexpr size_t step = kPhiloxChains * U64::lanes;
  constexpr uint64_t a = 0xD2511F53u, b = 0xCD9E8D57u;
  const auto low_half = [](uint64_t x) { return x & 0xffffffffu; };
  const PhiloxKeys keys(stream.seed);
  const auto low_key = [&](uint32_t round) { return low_half(stream.seed + uint64_t{0x9E3779B9u} * round); };
  const auto high_key = [&](uint32_t round) { return low_half((stream.seed >> 32) + uint64_t{0xBB67AE85u} * round); };
  // Words 2 and 3 after the first round; word 1 and the other product after the second.
  const uint64_t p = a * stream.sequence, c2 = low_half(p >> 32 ^ stream.stream ^ high_key(0)), q = b * c2;
  const U64 first_c0 = set_u64(stream.position ^ low_key(0));
  const U64 second_c0 = set_u64(q >> 32 ^ low_key(1)), second_c2 = set_u64(low_half(p) ^ high_key(1));
  const U64 third_c0 = set_u64(low_half(q) ^ low_key(2));
  const U64 last = set_u64(low_key(9) << 32);
  const U64 ones = set_u64(kOneBits), multiplier = set_u64(a), other = set_u64(b), products_step = set_u64(step * b);
  uint64_t sample[step];
  U64 product[kPhiloxChains];
  for (size_t i = 0; i < step; i++) sample[i] = b * (uint64_t{first} + i);
  for (size_t c = 0; c < kPhiloxChains; c++) product[c] = load_u64(sample + c * U64::lanes);
  for (size_t i = 0; i < n; i += step) {
    PhiloxWords words[kPhiloxChains];
    for (size_t c = 0; c < kPhiloxChains; c++) {
      const U64 c0 = bit_xor(shift_right<32>(product[c]), first_c0);
      const U64 p2 = multiply_low_halves(c0, multiplier);
      const U64 p3 = multiply_low_halves(bit_xor(product[c], second_c0), multiplier);
      const U64 q3 = multiply_low_halves(bit_xor(shift_right<32>(p2), second_c2), other);
      words[c] = {bit_xor(shift_right<32>(q3), third_c0), q3, bit_xor(shift_right<32>(p3), p2, keys.high[2]), p3};
      product[c] = add(product[c], products_step);
    }
    for (size_t round = 3; round < 9; round++) {
      for (size_t c = 0; c < kPhiloxChains; c++) words[c].mix(keys.low[round], keys.high[round]);
    }
    double drawn[step];
    double* const out = n - i < step ? drawn : uniforms + i;
    for (size_t c = 0; c < kPhiloxChains; c++) {
      // Word 0 above word 1, which are the product's halves but for what is added to the upper one.
      const U64 bits = bit_xor(multiply_low_halves(words[c].c2, other), shift_left<32>(words[c].c1), last);
      // 1 + bits 2^-52 is put together from its bits, and less 1 - 2^-53 exact.
      const F64 above_one = as_doubles(add(shift_right<12>(bits), ones));
      store64(out + c * F64::lanes, sub(above_one, set64(1.0 - 0x1p-53)));
    }
    for (size_t k = 0; out == drawn && k < n - i; k++) uniforms[i + k] = drawn[k];
  }
}
