// Drawing tokens from logits by inverting the distribution function. After kernels/exponential.inl.hpp.

// The terms of 16 logits, of which the first n are there.
struct GroupTerms {
  static constexpr size_t vectors = kGroupLogits / F32::lanes;
  F32 v[vectors];

  template <class T>
  COVN_MEMBER_INLINE GroupTerms(const T* x, size_t n, F32 least, const Terms& terms, const Window& window) {
    for (size_t k = 0; k < vectors; k++) {
      const size_t at = k * F32::lanes;
      const F32 logits = at < n ? load_padded(x + at, n - at) : set(-COVN_INFINITY);
      v[k] = keep_at_least(product(term_of(distance_of(logits, window), terms, window)), logits, least);
    }
  }
  COVN_MEMBER_INLINE void store_to(float* terms) const {
    for (size_t k = 0; k < vectors; k++) store(terms + k * F32::lanes, v[k]);
  }
};

// sums [count], for the groups of n logits; up to F32::lanes - 1 more are written as 0. Keep: the terms too.
template <class T, bool Keep>
void sum_groups(const T* x, size_t n, const TermRule& rule, float* sums, float* kept) {
  const Terms terms = load_terms(*rule.parameters);
  const Window window = window_at(rule.place, *rule.parameters);
  const F32 least = set(rule.least);
  for (size_t i = 0; i < n; i += kGroupLogits * F32::lanes) {
    F32 v[F32::lanes];
    for (size_t g = 0; g < F32::lanes; g++) {
      const size_t at = i + g * kGroupLogits;
      const GroupTerms group(x + (at < n ? at : 0), at < n ? n - at : 0, least, terms, window);
      v[g] = group.v[0];
      for (size_t k = 1; k < GroupTerms::vectors; k++) v[g] = add(v[g], group.v[k]);
      if (Keep && at < n) group.store_to(kept + at);
    }
    store(sums + i / kGroupLogits, row_sums(v));
  }
}

// Which of n items a place falls into, by the sums before each and after the last.
COVN_INLINE size_t find_item(const double* prefix, size_t n, double place) {
  // No sum is above +inf: of memory that changes meanwhile, such a place would lead past the last item.
  place = place < COVN_INFINITY ? place : 0.0;
  AtLeastCounter counter;
  for (size_t i = 0; i < n; i += F64::lanes) counter.count(set64(place), load64(prefix + 1 + i));
  return static_cast<size_t>(counter.total());
}

// The same of many items: by halves.
COVN_INLINE size_t bisect(const double* prefix, size_t n, double place) {
  const double* from = prefix + 1;
  while (n > 1) {
    const size_t half = n / 2;
    from = from[half - 1] <= place ? from + half : from;
    n -= half;
  }
  return static_cast<size_t>(from - prefix - 1);
}

inline void find_pieces(const PiecePrefix& prefix, const double* uniforms, size_t count, PieceDraw* draws) {
  constexpr size_t kFew = 32;
  const double total = prefix.total;
  const double* const sums = prefix.sums;
  const size_t pieces = prefix.pieces;
  for (size_t k = 0; k < count; k++) {
    const double place = uniforms[k] * total;
    const size_t piece = pieces == 1      ? 0
                         : pieces <= kFew ? find_item(sums, pieces, place)
                                          : bisect(sums, pieces, place);
    draws[k] = {static_cast<uint32_t>(piece), place - sums[piece]};
  }
}

// Draws taken together, step by step: each step's chain of operations is then as short as it can be, and a core works
// on many of them at once.
constexpr size_t kDrawsTogether = 64;

// The group of each draw, and what of its sum comes before the token; asks for the group's logits.
template <class T>
COVN_INLINE void find_groups(const T* row, const PieceSums* pieces, const PieceDraw* draws, size_t count,
                             uint32_t* groups, double* rests) {
  for (size_t k = 0; k < count; k++) {
    const PieceSums& piece = pieces[draws[k].piece];
    const double place = draws[k].rest * piece.share;
    const size_t span = find_item(piece.span_prefix, kPieceSpans, place);
    rests[k] = place - piece.span_prefix[span];
    groups[k] = static_cast<uint32_t>(span * kSpanGroups);
  }
  for (size_t k = 0; k < count; k++) {
    const PieceSums& piece = pieces[draws[k].piece];
    const double* const prefix = piece.group_prefix[groups[k] / kSpanGroups];
    const size_t group = find_item(prefix, kSpanGroups, rests[k]);
    groups[k] += static_cast<uint32_t>(group);
    prefetch_line(row + draws[k].piece * kPieceLogits + groups[k] * kGroupLogits);
    // As a share of the group's sum.
    rests[k] = (rests[k] - prefix[group]) / static_cast<double>(piece.groups[groups[k]]);
  }
}

// The last term above 0, or the first of all. Where the rounding of a share leads past all terms.
COVN_NOINLINE size_t last_term(const GroupTerms& group) {
  float term[kGroupLogits];
  group.store_to(term);
  size_t at = kGroupLogits - 1;
  while (at > 0 && !(term[at] > 0.0f)) at--;
  return at;
}

// Which of a group's terms holds this share of their sum. The group's own sum, a float, may have lost the smallest of
// them; here each has its part.
COVN_INLINE size_t find_term(const GroupTerms& group, double share) {
  constexpr size_t parts = kGroupLogits / F64::lanes;
  F64 prefix[parts];
  for (size_t i = 0; i < GroupTerms::vectors; i++) widen(group.v[i], prefix + i * (F32::lanes / F64::lanes));
  double sum = 0.0;
  for (F64& part : prefix) {
    part = add(prefix_sums(part), set64(sum));
    sum = last_lane(part);
  }
  AtLeastCounter counter;
  for (const F64& part : prefix) counter.count(set64(share * sum), part);
  const size_t at = static_cast<size_t>(counter.total());
  return at < kGroupLogits ? at : last_term(group);
}

// The tokens [count] of draws that fall into pieces [.] of a row of `vocab` logits.
template <class T>
void draw_tokens(const T* row, size_t vocab, const TermRule& rule, const PieceSums* pieces, const PieceDraw* draws,
                 size_t count, int32_t* tokens) {
  const Terms terms = load_terms(*rule.parameters);
  const Window window = window_at(rule.place, *rule.parameters);
  const F32 least = set(rule.least);
  for (size_t start = 0; start < count; start += kDrawsTogether) {
    const size_t size = count - start < kDrawsTogether ? count - start : kDrawsTogether;
    uint32_t groups[kDrawsTogether];
    double rests[kDrawsTogether];
    find_groups(row, pieces, draws + start, size, groups, rests);
    for (size_t k = 0; k < size; k++) {
      const size_t first = draws[start + k].piece * kPieceLogits + groups[k] * kGroupLogits;
      const GroupTerms group(row + first, vocab - first, least, terms, window);
      tokens[start + k] = static_cast<int32_t>(first + find_term(group, rests[k]));
    }
  }
}

// The log-probs [count] of a row's tokens.
template <class T>
void write_log_probs(const T* row, const int32_t* tokens, size_t count, const LogProbRule& rule, float* log_probs) {
  const F64 max = set64(static_cast<double>(rule.max)), temperature = set64(rule.temperature),
            log_sum = set64(rule.log_sum);
  const bool divided = rule.temperature != 1.0;
  constexpr size_t step = 4 * F64::lanes;
  for (size_t at = 0; at < count; at += step) {
    const size_t size = count - at < step ? count - at : step;
    float logits[step] = {}, out[step];
    for (size_t k = 0; k < size; k++) logits[k] = to_float(row[tokens[at + k]]);
    float* const to = size < step ? out : log_probs + at;
    for (size_t k = 0; k < step; k += F64::lanes) {
      const F64 below = sub(load64(logits + k), max);
      store64(to + k, sub(divided ? div(below, temperature) : below, log_sum));
    }
    for (size_t k = 0; to == out && k < size; k++) log_probs[at + k] = out[k];
  }
}
