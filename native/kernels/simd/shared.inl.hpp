// Operations that every wrapper gets from its own load and store; included after it.

#if !defined(COVN_TARGET_LOADS_PADDED)
// The first n elements, at most as many as the lanes, then -inf.
template <class T>
COVN_INLINE F32 load_padded(const T* p, size_t n) {
  if (n >= F32::lanes) return load(p);
  float lane[F32::lanes];
  for (size_t i = 0; i < F32::lanes; i++) lane[i] = i < n ? to_float(p[i]) : -COVN_INFINITY;
  return load(lane);
}
#endif

COVN_INLINE F64 load64_padded(const double* p, size_t n) {
  if (n >= F64::lanes) return load64(p);
  double lane[F64::lanes];
  for (size_t i = 0; i < F64::lanes; i++) lane[i] = i < n ? p[i] : -COVN_INFINITY;
  return load64(lane);
}

// Sums of the lanes up to and with each.
#if !defined(COVN_TARGET_FLOAT_PREFIX_SUMS)
COVN_INLINE F32 prefix_sums(F32 a) {
  float lane[F32::lanes];
  store(lane, a);
  for (size_t i = 1; i < F32::lanes; i++) lane[i] += lane[i - 1];
  return load(lane);
}
#endif

COVN_INLINE float last_lane(F32 a) {
  float lane[F32::lanes];
  store(lane, a);
  return lane[F32::lanes - 1];
}

#if !defined(COVN_TARGET_LANE_SUMS)
// Lane i: the sum of the lanes of v[i], for as many vectors as there are lanes.
COVN_INLINE F64 lane_sums(const F64* v) {
  double sums[F64::lanes];
  for (size_t i = 0; i < F64::lanes; i++) {
    double lane[F64::lanes];
    store64(lane, v[i]);
    sums[i] = lane[0];
    for (size_t j = 1; j < F64::lanes; j++) sums[i] += lane[j];
  }
  return load64(sums);
}
#endif

#if !defined(COVN_TARGET_PREFIX_SUMS)
// The lanes in order, in double.
COVN_INLINE void widen(F32 a, F64* wide) {
  float lane[F32::lanes];
  store(lane, a);
  for (size_t i = 0; i < F32::lanes / F64::lanes; i++) wide[i] = load64(lane + i * F64::lanes);
}
// Sums of the lanes up to and with each, always in the same order.
COVN_INLINE F64 prefix_sums(F64 a) {
  double lane[F64::lanes];
  store64(lane, a);
  for (size_t i = 1; i < F64::lanes; i++) lane[i] += lane[i - 1];
  return load64(lane);
}
COVN_INLINE double last_lane(F64 a) {
  double lane[F64::lanes];
  store64(lane, a);
  return lane[F64::lanes - 1];
}
#endif

#if !defined(COVN_TARGET_COUNTS)
// How many lanes of x are no less than their bounds.
COVN_INLINE size_t count_at_least(F64 x, F64 bound) {
  AtLeastCounter counter;
  counter.count(x, bound);
  return static_cast<size_t>(counter.total());
}
#endif

#if !defined(COVN_TARGET_LOOKUPS)
constexpr size_t kLookups = 1;
// items[i] = table[floor(x[i] scale)] for kLookups x from the k-th on; gives how many of them are below 0, and in
// `negative`, which has room for kLookups, which.
COVN_INLINE size_t look_up(const int32_t* table, const double* x, double scale, uint32_t k, int32_t* items,
                           uint32_t* negative) {
  *items = table[static_cast<int32_t>(*x * scale)];
  *negative = k;
  return *items < 0;
}
#endif

#if !defined(COVN_TARGET_CHOICES)
// Chooses `below` where the place lies below the threshold, both below 2^32. False where adding less than the width,
// of at most 2^32, to some place could lead over its threshold, or to 2^32 or more: nothing is then certain.
COVN_INLINE bool choose_below(U64 place, U64 threshold, U64 width, U64 below, U64 not_below, U64& chosen) {
  chosen = select_below(place, threshold, below, not_below);
  return !any_below(sub(threshold, place), width) && !any_below(sub(set_u64(uint64_t{1} << 32), place), width);
}
// n, and 1 more where a < b.
COVN_INLINE U64 count_below(U64 n, U64 a, U64 b) { return add(n, select_below(a, b, set_u64(1), set_u64(0))); }
#endif

#if !defined(COVN_TARGET_ROWS)
// Four vectors of numbers below 2^32: lane i's at to + i * stride.
COVN_INLINE void store_rows(int32_t* to, size_t stride, const U64 (&columns)[4]) {
  for (size_t w = 0; w < 4; w++) {
    uint64_t lane[U64::lanes];
    store(lane, columns[w]);
    for (size_t i = 0; i < U64::lanes; i++) to[i * stride + w] = static_cast<int32_t>(lane[i]);
  }
}
#endif

COVN_INLINE uint64_t sum(U64 a) {
  uint64_t lane[U64::lanes];
  store(lane, a);
  uint64_t total = 0;
  for (uint64_t x : lane) total += x;
  return total;
}

// The next 4 F32::lanes numbers, in an order that is the format's.
#if !defined(COVN_TARGET_UNIT_TERMS)
template <class T>
COVN_INLINE void load_in_any_order(F32* v, const T* p) {
  for (size_t k = 0; k < 4; k++) v[k] = load(p + k * F32::lanes);
}
#endif
