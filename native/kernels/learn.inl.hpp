// Rows of features of linear models (Eq. 3): logits, their softmax, and weighted sums of rows. Included by
// kernels/targets/*.cpp after the simd wrapper; it names no instruction set.
//
// Lane type double. Rows are padded with zeros to `width`, a multiple of kFeatureLanes, and lie one after another.

// e^x for x in [-708, 709], below which it counts as -708; relative error 1e-15. With x = k ln(2) + r, |r| <= 0.347:
// 2^k (1 + r + r^2/2! + ...). The upper part of ln(2) has 32 bits, so that its product with k is exact.
COVN_INLINE F64 full_exp(F64 x) {
  constexpr double kInverseFactorials[] = {
      1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
      1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
  const F64 magic = set64(0x1.8p52), clamped = max_keeping_nan(set64(-708.0), x);
  const F64 shifted = fma(clamped, set64(0x1.71547652b82fep0), magic);
  const F64 k = sub(magic, shifted);
  const F64 r = fma(k, set64(1.90821492927058770002e-10), fma(k, set64(6.93147180369123816490e-01), clamped));
  F64 p = set64(kInverseFactorials[13]);
  for (int n = 12; n >= 0; n--) p = fma(p, r, set64(kInverseFactorials[n]));
  return mul(p, power64(shifted));
}

// logits[r] = <row r, theta>, and up to the end of a vector the last row's again.
inline void linear_logits(const double* features, size_t rows, size_t width, const double* theta, double* logits) {
  for (size_t r = 0; r < rows; r += F64::lanes) {
    const double* row[F64::lanes];
    F64 sums[F64::lanes];
    for (size_t i = 0; i < F64::lanes; i++) {
      row[i] = features + (r + i < rows ? r + i : rows - 1) * width;
      sums[i] = set64(0.0);
    }
    for (size_t k = 0; k < width; k += F64::lanes) {
      const F64 t = load64(theta + k);
      for (size_t i = 0; i < F64::lanes; i++) sums[i] = fma(load64(row[i] + k), t, sums[i]);
    }
    store64(logits + r, lane_sums(sums));
  }
}

// Ones, then zeros.
constexpr double kOnesThenZeros[2 * kFeatureLanes] = {1, 1, 1, 1, 1, 1, 1, 1};

// probabilities[i] = exp(logits[i]) / sum, for n >= 1 finite logits; both have memory to the end of a vector, where the
// logits after the n-th are some of theirs.
inline Softmax softmax(const double* logits, size_t n, double* probabilities) {
  F64 most = load64(logits);
  for (size_t i = F64::lanes; i < n; i += F64::lanes) most = max_keeping_nan(load64(logits + i), most);
  double lane[F64::lanes];
  store64(lane, most);
  double largest = lane[0];
  for (double x : lane) largest = x > largest ? x : largest;
  const F64 origin = set64(largest);
  F64 sums = set64(0.0);
  for (size_t i = 0; i < n; i += F64::lanes) {
    F64 term = full_exp(sub(load64(logits + i), origin));
    if (n - i < F64::lanes) term = mul(term, load64(kOnesThenZeros + kFeatureLanes - (n - i)));
    sums = add(sums, term);
    store64(probabilities + i, term);
  }
  store64(lane, sums);
  double sum = 0.0;
  for (double x : lane) sum += x;
  const F64 scale = set64(1.0 / sum);
  for (size_t i = 0; i < n; i += F64::lanes) store64(probabilities + i, mul(load64(probabilities + i), scale));
  return {largest, sum};
}

template <size_t Vectors>
COVN_INLINE void add_columns(const double* features, size_t rows, size_t width, const double* weights, double* sum) {
  F64 sums[Vectors];
  for (size_t k = 0; k < Vectors; k++) sums[k] = load64(sum + k * F64::lanes);
  for (size_t r = 0; r < rows; r++) {
    const F64 weight = set64(weights[r]);
    for (size_t k = 0; k < Vectors; k++) sums[k] = fma(load64(features + r * width + k * F64::lanes), weight, sums[k]);
  }
  for (size_t k = 0; k < Vectors; k++) store64(sum + k * F64::lanes, sums[k]);
}

// sum [width] += weights[r] row r, in the order of r.
inline void add_weighted_rows(const double* features, size_t rows, size_t width, const double* weights, double* sum) {
  size_t k = 0;
  for (; k + 8 * F64::lanes <= width; k += 8 * F64::lanes) add_columns<8>(features + k, rows, width, weights, sum + k);
  for (; k < width; k += F64::lanes) add_columns<1>(features + k, rows, width, weights, sum + k);
}
