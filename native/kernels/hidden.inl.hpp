// Tiles of logits from hidden states and weights: a blocked matrix product (Goto, van de Geijn 2008), and the bias and
// soft-cap. After a simd wrapper; it names no instruction set.
//
// Lane type float. A step takes kStepWeights weights, each broadcast, times kStepVectors vectors of rows, and keeps all
// their sums in registers.

constexpr size_t kPanelRows = kStepVectors * F32::lanes;
static_assert(kPanelRows <= kMaxPanelRows && kTileVocab % kStepWeights == 0);

// A storage format whose elements are multiplied as floats.
template <class T>
struct Widened {
  static constexpr size_t slot_elements = 1;
  COVN_MEMBER_INLINE static void stage(const T* row, size_t n, float* slots) {
    size_t i = 0;
    for (; i + F32::lanes <= n; i += F32::lanes) store(slots + i, load(row + i));
    for (; i < n; i++) slots[i] = to_float(row[i]);
  }
  COVN_MEMBER_INLINE static F32 multiply_add(F32 a, F32 b, F32 c) { return fma(a, b, c); }
};

// logits [kStepWeights, kPanelRows] (+)= weights [kStepWeights, slots] * panel [slots, kPanelRows].
template <class Format>
COVN_INLINE void multiply_step(const float* weights, const float* panel, size_t slots, bool first, float* logits) {
  F32 sum[kStepWeights][kStepVectors];
  for (size_t i = 0; i < kStepWeights; i++) {
    for (size_t v = 0; v < kStepVectors; v++) sum[i][v] = set(0.0f);
  }
  for (size_t k = 0; k < slots; k++) {
    F32 rows[kStepVectors];
    for (size_t v = 0; v < kStepVectors; v++) rows[v] = load(panel + k * kPanelRows + v * F32::lanes);
    for (size_t i = 0; i < kStepWeights; i++) {
      const F32 weight = set(weights[i * kStagedStride + k]);
      for (size_t v = 0; v < kStepVectors; v++) sum[i][v] = Format::multiply_add(weight, rows[v], sum[i][v]);
    }
  }
  for (size_t i = 0; i < kStepWeights; i++) {
    for (size_t v = 0; v < kStepVectors; v++) {
      float* at = logits + i * kPanelRows + v * F32::lanes;
      store(at, first ? sum[i][v] : add(load(at), sum[i][v]));
    }
  }
}

template <class T, class Format>
void multiply_slice(const LogitTile& tile, size_t slice) {
  constexpr size_t kSliceElements = kSlice * Format::slot_elements;
  const size_t start = slice * kSliceElements;
  const bool last = tile.width - start <= kSliceElements;
  const size_t elements = last ? tile.width - start : kSliceElements;
  for (size_t i = 0; i < tile.count; i++) {
    Format::stage(static_cast<const T*>(tile.weights[i]) + start, elements, tile.staged + i * kStagedStride);
  }
  // What the next call will stage is asked for between the steps, a little at each.
  const void* const* ahead = last ? tile.next : tile.weights;
  const size_t ahead_start = last ? 0 : start + elements;
  const size_t ahead_rest = (tile.width - ahead_start) * sizeof(T);
  const size_t ahead_bytes = ahead_rest < kSliceElements * sizeof(T) ? ahead_rest : kSliceElements * sizeof(T);
  const size_t slots = slots_of(elements, Format::slot_elements);
  const size_t panel_slots = slots_of(tile.width, Format::slot_elements);
  const size_t steps = tile.panel_count * ((tile.count + kStepWeights - 1) / kStepWeights);
  size_t step = 0, asked = 0;
  for (size_t p = 0; p < tile.panel_count; p++) {
    const float* panel = tile.panels + (p * panel_slots + slice * kSlice) * kPanelRows;
    for (size_t i = 0; i < tile.count; i += kStepWeights) {
      step++;
      for (; ahead != nullptr && asked * steps < step * tile.count; asked++) {
        const char* from = reinterpret_cast<const char*>(static_cast<const T*>(ahead[asked]) + ahead_start);
        for (size_t byte = 0; byte < ahead_bytes; byte += 64) prefetch_line(from + byte);
      }
      // Steps past the tile's last entry multiply what was left there; nobody reads that.
      multiply_step<Format>(tile.staged + i * kStagedStride, panel, slots, slice == 0,
                            tile.logits + (p * kTileVocab + i) * kPanelRows);
    }
  }
}

// cap * tanh(x / cap), NaN stays NaN; error below half a float's last place and 5e-9 relative. With y = x / (16 cap),
// at most 0.625 (tanh 10 is 1 to 4e-9), tanh y = p / q is the fifth convergent of Lambert's continued fraction, to
// 1e-9, and tanh 2y = 2pq / (p^2 + q^2), which makes no error grow.
COVN_INLINE F32 soft_cap(F32 x, double cap) {
  const F32 lowest = set(static_cast<float>(-10.0 * cap)), zero = set(0.0f);
  const F32 above = max_keeping_nan(lowest, x);
  float lane[F32::lanes];
  store(lane, sub(zero, max_keeping_nan(lowest, sub(zero, above))));
  for (size_t i = 0; i < F32::lanes; i += F64::lanes) {
    const F64 y = mul(load64(lane + i), set64(1.0 / (16.0 * cap)));
    const F64 s = mul(y, y);
    F64 p = mul(y, fma(add(s, set64(105.0)), s, set64(945.0)));
    F64 q = fma(fma(s, set64(15.0), set64(420.0)), s, set64(945.0));
    for (int doubling = 0; doubling < 4; doubling++) {
      const F64 product = mul(p, q);
      q = fma(p, p, mul(q, q));
      p = add(product, product);
    }
    store64(lane + i, div(mul(set64(cap), p), q));
  }
  return load(lane);
}

inline void shape_logits(const LogitTile& tile, const LogitShape& shape) {
  for (size_t p = 0; p < tile.panel_count; p++) {
    for (size_t i = 0; i < tile.count; i++) {
      const F32 bias = set(shape.bias != nullptr ? shape.bias[i] : 0.0f);
      for (size_t v = 0; v < kStepVectors; v++) {
        float* at = tile.logits + (p * kTileVocab + i) * kPanelRows + v * F32::lanes;
        const F32 x = add(load(at), bias);
        store(at, shape.softcap != 0.0 ? soft_cap(x, shape.softcap) : x);
      }
    }
  }
}

template <class T, class Format = Widened<T>>
constexpr HiddenKernels kHiddenKernels = {kPanelRows, Format::slot_elements, multiply_slice<T, Format>, shape_logits};
