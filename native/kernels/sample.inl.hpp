// Drawing tokens from logits by inverting the distribution function. After kernels/exponential.inl.hpp.

// The terms of a row's logits by a formula, those below `least` being 0.
template <class Formula>
struct RowTerms {
  Formula formula;
  F32 least;

  COVN_MEMBER_INLINE F32 operator()(F32 x) const {
    return keep_at_least(product(formula.term(formula.distance(x))), x, least);
  }
};

COVN_INLINE RowTerms<GeneralFormula<true>> general_terms(const TermRule& rule, const Terms& terms) {
  return {{rule.place, terms, *rule.parameters}, set(rule.least)};
}
#if COVN_TARGET_UNIT_TERMS
COVN_INLINE RowTerms<UnitFormula<true>> unit_row_terms(const TermRule& rule) {
  const UnitFormula<true> formula(unit_terms(rule.place.octave, *rule.parameters),
                                  set(floor_of(rule.place, *rule.parameters)));
  return {formula, set(rule.least)};
}
#endif

// The terms of 16 logits.
struct GroupTerms {
  static constexpr size_t vectors = kGroupLogits / F32::lanes;
  F32 v[vectors];

  template <class T, class Formula>
  COVN_MEMBER_INLINE GroupTerms(const T* x, const RowTerms<Formula>& terms) {
    for (size_t k = 0; k < vectors; k++) v[k] = terms(load(x + k * F32::lanes));
  }
  // Of which the first n are there.
  template <class T, class Formula>
  COVN_MEMBER_INLINE GroupTerms(const T* x, size_t n, const RowTerms<Formula>& terms) {
    for (size_t k = 0; k < vectors; k++) {
      const size_t at = k * F32::lanes;
      v[k] = terms(at < n ? load_padded(x + at, n - at) : set(-COVN_INFINITY));
    }
  }
  COVN_MEMBER_INLINE void store_to(float* terms) const {
    for (size_t k = 0; k < vectors; k++) store(terms + k * F32::lanes, v[k]);
  }
  // Lanes whose sum is the group's.
  COVN_MEMBER_INLINE F32 folded() const {
    F32 sum = v[0];
    for (size_t k = 1; k < vectors; k++) sum = add(sum, v[k]);
    return sum;
  }
};

template <class T, class Formula>
COVN_INLINE void sum_groups_by(const RowTerms<Formula>& terms, const T* x, size_t n, float* sums) {
  constexpr size_t block = kGroupLogits * F32::lanes;
  for (size_t i = 0; i < n; i += block) {
    F32 v[F32::lanes];
    if (i + block <= n) {
#pragma GCC unroll 16
      for (size_t g = 0; g < F32::lanes; g++) {
        v[g] = GroupTerms(x + i + g * kGroupLogits, terms).folded();
      }
    } else {
      for (size_t g = 0; g < F32::lanes; g++) {
        const size_t at = i + g * kGroupLogits;
        v[g] = GroupTerms(x + (at < n ? at : 0), at < n ? n - at : 0, terms).folded();
      }
    }
    store(sums + i / kGroupLogits, row_sums(v));
  }
}

// sums [count], for the groups of n logits; up to F32::lanes - 1 more are written as 0.
template <class T>
void sum_groups(const T* x, size_t n, const TermRule& rule, float* sums) {
#if COVN_TARGET_UNIT_TERMS
  if (rule.unit) return sum_groups_by(unit_row_terms(rule), x, n, sums);
#endif
  const Terms terms = load_terms(*rule.parameters);
  sum_groups_by(general_terms(rule, terms), x, n, sums);
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

template <class T, class Formula>
COVN_INLINE void draw_tokens_by(const RowTerms<Formula>& terms, const DrawnRow<T>& row, const PieceSums* pieces,
                                const PieceDraw* draws, size_t count, int32_t* tokens) {
  for (size_t start = 0; start < count; start += kDrawsTogether) {
    const size_t size = count - start < kDrawsTogether ? count - start : kDrawsTogether;
    uint32_t groups[kDrawsTogether];
    double rests[kDrawsTogether];
    find_groups(row.logits, pieces, draws + start, size, groups, rests);
    for (size_t k = 0; k < size; k++) {
      const size_t first = draws[start + k].piece * kPieceLogits + groups[k] * kGroupLogits;
      const GroupTerms group(row.logits + first, row.vocab - first, terms);
      const size_t token = first + find_term(group, rests[k]);
      // Of memory that changes meanwhile, it may lie past the row.
      tokens[start + k] = static_cast<int32_t>(token < row.vocab ? token : first);
    }
  }
}

// The tokens [count] of draws that fall into pieces [.] of a row.
template <class T>
void draw_tokens(const DrawnRow<T>& row, const PieceSums* pieces, const PieceDraw* draws, size_t count,
                 int32_t* tokens) {
#if COVN_TARGET_UNIT_TERMS
  if (row.rule.unit) return draw_tokens_by(unit_row_terms(row.rule), row, pieces, draws, count, tokens);
#endif
  const Terms terms = load_terms(*row.rule.parameters);
  draw_tokens_by(general_terms(row.rule, terms), row, pieces, draws, count, tokens);
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
