// The limits of the machine that other kernels are compared with (covn/machine.hpp). Included by kernels/targets/*.cpp
// after the simd wrapper.
//
// Results are returned so that no compiler can leave the work out.

// The largest of n values, a NaN passed over; 0 if none is above it. Read as four streams: memory answers several at
// once faster than one (measured: 78 GB/s instead of 71 with two threads).
template <bool with_prefetch>
inline float read_values(const float* p, size_t n) {
  constexpr size_t streams = 4, step = 2 * F32::lanes;
  constexpr size_t line = 64 / sizeof(float);
  const size_t length = n / streams / step * step;
  F32 largest[2 * streams];
  for (F32& each : largest) each = set(0.0f);
  for (size_t i = 0; i < length; i += step) {
    for (size_t s = 0; s < streams; s++) {
      const float* const q = p + s * length + i;
      if constexpr (with_prefetch) {
        for (size_t k = 0; k < step; k += line) prefetch(q + k);
      }
      largest[2 * s] = max_ignoring_nan(load(q), largest[2 * s]);
      largest[2 * s + 1] = max_ignoring_nan(load(q + F32::lanes), largest[2 * s + 1]);
    }
  }
  for (size_t i = streams * length; i < n; i += F32::lanes) {
    largest[0] = max_ignoring_nan(load_padded(p + i, n - i), largest[0]);
  }
  for (size_t k = 1; k < 2 * streams; k++) largest[0] = max_ignoring_nan(largest[k], largest[0]);
  return reduce_max(largest[0]);
}

// Independent chains of multiply-adds: enough to cover a latency of four cycles at three or four instructions a cycle,
// and few enough for the registers (16 with AVX2, of which two hold the constants).
constexpr size_t kFmaChains = F32::lanes == 8 ? 12 : 16;

// Values tend to addend / (1 - factor): with a factor in (0, 1) never subnormal, never infinite. Returns their sum and
// adds the operations to `operations`.
inline float multiply_add(size_t steps, float factor, float addend, uint64_t& operations) {
  const F32 f = set(factor), a = set(addend);
  F32 chain[kFmaChains];
  for (size_t k = 0; k < kFmaChains; k++) chain[k] = set(addend * static_cast<float>(k + 1));
  for (size_t step = 0; step < steps; step++) {
    for (size_t k = 0; k < kFmaChains; k++) chain[k] = fma(chain[k], f, a);
  }
  operations += 2 * steps * kFmaChains * F32::lanes;
  F32 sum = chain[0];
  for (size_t k = 1; k < kFmaChains; k++) sum = add(sum, chain[k]);
  float lane[F32::lanes], total = 0.0f;
  store(lane, sum);
  for (float x : lane) total += x;
  return total;
}
