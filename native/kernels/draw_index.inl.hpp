// Many draws from one row: an index proposes tokens and proves that they are those that kernels/sample.inl.hpp finds.
// After that file.
//
// The index has the same distribution function, rounded otherwise: the uniforms at which groups begin, in double, and
// the sums of a group's terms up to the end of each token, in float. What rounding moves is less than kUniformMargin
// for the former and kSumMargin of itself for the latter; a uniform that is nearer than that to the end of a token
// proves nothing, and has its token found in the other way.
constexpr double kUniformMargin = 0x1p-42;
constexpr float kSumMargin = 0x1p-18f;

// Where the groups of a piece begin, that has the uniforms begin .. begin + extent: bounds [n], and up to
// F64::lanes - 1 more. Gives their sum.
inline double place_groups(const float* groups, size_t n, double begin, double extent, double* bounds) {
  double sum = 0.0;
  for (size_t g = 0; g < n; g += F64::lanes) {
    const F64 part = load64(groups + g), prefix = prefix_sums(part);
    store64(bounds + g, add(sub(prefix, part), set64(sum)));
    sum += last_lane(prefix);
  }
  const F64 scale = set64(extent / sum), first = set64(begin);
  for (size_t g = 0; g < n; g += F64::lanes) store64(bounds + g, fma(load64(bounds + g), scale, first));
  return sum;
}

// Sums of a group's terms up to and with each.
struct TokenEnds {
  F32 v[GroupTerms::vectors];

  COVN_MEMBER_INLINE explicit TokenEnds(const GroupTerms& terms) {
    v[0] = prefix_sums(terms.v[0]);
    for (size_t i = 1; i < GroupTerms::vectors; i++) v[i] = add(prefix_sums(terms.v[i]), set(last_lane(v[i - 1])));
  }
};

template <class T, class Formula>
COVN_INLINE GroupTerms row_group(const RowTerms<Formula>& terms, const DrawnRow<T>& row, size_t g) {
  return GroupTerms(row.logits + g * kGroupLogits, row.vocab - g * kGroupLogits, terms);
}

// Gives cells from .. to this mark, and up to kCellStep - 1 more, which are laid later.
COVN_INLINE void lay_marks(int32_t* cells, int32_t from, int32_t to, int32_t mark) {
  for (int32_t c = from; c < to; c += static_cast<int32_t>(kCellStep)) {
    for (size_t i = 0; i < kCellStep; i++) cells[c + static_cast<int32_t>(i)] = mark;
  }
}

// Within 0 .. largest, of memory that changes meanwhile too: a NaN becomes 0.
COVN_INLINE double within(double x, double largest) { return x > 0.0 ? (x < largest ? x : largest) : 0.0; }

// The first cell that begins after a place.
COVN_INLINE int32_t cell_after(double place, double cells) {
  return static_cast<int32_t>(within(place * cells, cells)) + 1;
}

// Names the token of cells that lie within one token of a group, which has the cells up to `end`.
template <class T, class Formula>
COVN_NOINLINE void name_cells(const RowTerms<Formula>& terms, const DrawnRow<T>& row, const DrawIndex& index, size_t g,
                              int32_t end) {
  const double cells = static_cast<double>(index.cell_count), scale = 1.0 / index.total, begin = index.bounds[g];
  const size_t start = g * kGroupLogits, size = row.vocab - start < kGroupLogits ? row.vocab - start : kGroupLogits;
  const GroupTerms group = row_group(terms, row, g);
  const TokenEnds lanes(group);
  float own[kGroupLogits], sums[kGroupLogits];
  for (size_t i = 0; i < GroupTerms::vectors; i++) {
    store(own + i * F32::lanes, group.v[i]);
    store(sums + i * F32::lanes, lanes.v[i]);
  }
  const double cell = index.total / cells;
  for (size_t i = 0; i < size; i++) {
    if (!(static_cast<double>(own[i]) > cell)) continue;
    const double last = i > 0 ? static_cast<double>(sums[i - 1]) * scale : 0.0;  // where the token begins, from `begin`
    const double next = static_cast<double>(sums[i]) * scale;
    const double margin = next * kSumMargin + kUniformMargin;
    const auto first = static_cast<int32_t>(within((begin + last + margin) * cells, cells)) + 1;
    const auto stop = static_cast<int32_t>(within((begin + next - margin) * cells, static_cast<double>(end)));
    if (first < stop) {
      lay_marks(index.cells, first, stop, static_cast<int32_t>(start + i));
      lay_marks(index.cells, stop, stop + 1, ~static_cast<int32_t>(g));
    }
  }
}

// Groups whose cells are laid together where they have kCellStep at most: the first one's mark serves, as draws are
// searched from there.
constexpr size_t kMarkedGroups = 8;

// The cells of groups first .. end, one by one.
template <class T, class Formula>
COVN_NOINLINE void lay_apart(const RowTerms<Formula>& terms, const DrawnRow<T>& row, const DrawIndex& index,
                             size_t first, size_t end) {
  const double cells = static_cast<double>(index.cell_count);
  int32_t from = cell_after(index.bounds[first], cells);
  for (size_t g = first; g < end; g++) {
    const int32_t to = cell_after(index.bounds[g + 1], cells);
    lay_marks(index.cells, from, to, ~static_cast<int32_t>(g));
    if (to - from > index.named_cells) name_cells(terms, row, index, g, to);
    from = to;
  }
}

// Cells are laid out from the bounds: mark after mark, each over what the one before left too much.
template <class T, class Formula>
COVN_INLINE void lay_cells_by(const RowTerms<Formula>& terms, const DrawnRow<T>& row, const DrawIndex& index) {
  constexpr size_t step = 32;
  const double cells = static_cast<double>(index.cell_count);
  int32_t* const out = index.cells;
  // Above every uniform.
  for (size_t i = 0; i < kMaxLanes; i++) index.bounds[index.groups + i] = 1.0;
  lay_marks(out, 0, 1, ~0);
  const size_t marks = (index.groups + kMarkedGroups - 1) / kMarkedGroups;
  for (size_t start = 0; start < marks; start += step) {
    const size_t size = marks - start < step ? marks - start : step;
    int32_t first[step + 1];
    for (size_t i = 0; i <= size; i++) {
      const size_t g = (start + i) * kMarkedGroups;
      first[i] = cell_after(index.bounds[g < index.groups ? g : index.groups], cells);
    }
    for (size_t i = 0; i < size; i++) {
      const size_t g = (start + i) * kMarkedGroups;
      lay_marks(out, first[i], first[i] + 1, ~static_cast<int32_t>(g));
      if (first[i + 1] - first[i] <= static_cast<int32_t>(kCellStep)) continue;
      lay_apart(terms, row, index, g, g + kMarkedGroups < index.groups ? g + kMarkedGroups : index.groups);
    }
  }
}

// The group that a uniform falls into, at or after `g`.
COVN_INLINE size_t find_group(const double* bounds, size_t g, double uniform) {
  constexpr size_t step = 16;
  static_assert(step <= kMaxLanes);  // of the bounds after the last group
  size_t passed = step;
  while (passed == step) {
    passed = 0;
    for (size_t i = 0; i < step; i += F64::lanes) passed += count_at_least(set64(uniform), load64(bounds + g + 1 + i));
    g += passed;
  }
  return g;
}

// Between which sums draws' own lie, for certain, from their distances in uniforms from their groups' beginnings.
COVN_INLINE void bracket(const double* distances, size_t count, double total, float* low, float* high) {
  const F32 part = set(kSumMargin), least = set(static_cast<float>(total * kUniformMargin));
  for (size_t i = 0; i < count; i += F32::lanes) {
    for (size_t k = 0; k < F32::lanes; k += F64::lanes) {
      store64(low + i + k, mul(load64(distances + i + k), set64(total)));
    }
    const F32 sum = load(low + i), margin = fma(sum, part, least);
    store(low + i, sub(sum, margin));
    store(high + i, add(sum, margin));
  }
}

// How many of the sums up to and with each token of draws' groups lie below `low`, and how many above `high`. Of
// `groups`, `low` and `high`, and of what is written, up to F32::lanes - 1 more are used.
template <class T, class Formula>
COVN_INLINE void count_ends(const RowTerms<Formula>& terms, const DrawnRow<T>& row, const size_t* groups, size_t count,
                            const float* low, const float* high, int32_t* below, int32_t* above) {
#if COVN_TARGET_TRANSPOSE
  static_assert(GroupTerms::vectors == 1);
  for (size_t i = 0; i < count; i += F32::lanes) {
    // Draws side by side: token after token is then one addition and two comparisons for all of them.
    F32 terms_of[kGroupLogits];
#pragma GCC unroll 16
    for (size_t k = 0; k < F32::lanes; k++) terms_of[k] = row_group(terms, row, groups[i + k]).v[0];
    transpose(terms_of);
    const F32 least = load(low + i), most = load(high + i);
    LaneCounter passed, left;
    F32 sum = set(0.0f);
#pragma GCC unroll 16
    for (size_t k = 0; k < kGroupLogits; k++) {
      sum = add(sum, terms_of[k]);
      passed.count(least, sum);
      left.count(sum, most);
    }
    passed.store(below + i);
    left.store(above + i);
  }
#else
  for (size_t i = 0; i < count; i++) {
    const TokenEnds ends(row_group(terms, row, groups[i]));
    below[i] = above[i] = 0;
    for (const F32& end : ends.v) {
      below[i] += static_cast<int32_t>(count_greater(set(low[i]), end));
      above[i] += static_cast<int32_t>(count_greater(end, set(high[i])));
    }
  }
#endif
}

// The tokens of count <= kDrawsTogether draws, `which`, whose cells name groups; gives how many are not proved, and in
// `open`, which may be the same, which.
template <class T, class Formula>
COVN_INLINE size_t prove_tokens(const RowTerms<Formula>& terms, const DrawnRow<T>& row, const DrawIndex& index,
                                const double* uniforms, const uint32_t* which, size_t count, int32_t* tokens,
                                uint32_t* open) {
  constexpr size_t room = kDrawsTogether + kMaxLanes;
  size_t groups[room];
  double distances[room];
  float low[room], high[room];
  int32_t below[room], above[room];
  for (size_t i = 0; i < count; i++) {
    const size_t k = which[i];
    const size_t g = find_group(index.bounds, static_cast<size_t>(~tokens[k]), uniforms[k]);
    groups[i] = g;
    distances[i] = uniforms[k] - index.bounds[g];
    prefetch_line(row.logits + g * kGroupLogits);
  }
  for (size_t i = count; i < count + F32::lanes; i++) {
    groups[i] = groups[0];
    distances[i] = 0.0;
  }
  bracket(distances, count, index.total, low, high);
  count_ends(terms, row, groups, count, low, high, below, above);
  size_t left = 0;
  for (size_t i = 0; i < count; i++) {
    // Neither before the first nor after the last. NaN, of memory that changes meanwhile, counts nowhere; of such
    // memory, a sum may count that lies past the row.
    const size_t token = groups[i] * kGroupLogits + static_cast<size_t>(below[i]);
    const bool proved = (low[i] > 0.0f) & (above[i] > 0) & (below[i] + above[i] == static_cast<int32_t>(kGroupLogits)) &
                        (token < row.vocab);
    const uint32_t k = which[i];
    tokens[k] = static_cast<int32_t>(token);
    open[left] = k;
    left += !proved;
  }
  return left;
}

template <class T, class Formula>
COVN_INLINE size_t propose_tokens_by(const RowTerms<Formula>& terms, const DrawnRow<T>& row, const DrawIndex& index,
                                     const double* uniforms, size_t count, int32_t* tokens, uint32_t* open) {
  const double cells = static_cast<double>(index.cell_count);
  size_t mixed = 0, k = 0;
  for (; k + kLookups <= count; k += kLookups) {
    mixed += look_up(index.cells, uniforms + k, cells, static_cast<uint32_t>(k), tokens + k, open + mixed);
  }
  for (; k < count; k++) {
    tokens[k] = index.cells[static_cast<int32_t>(uniforms[k] * cells)];
    open[mixed] = static_cast<uint32_t>(k);
    mixed += tokens[k] < 0;
  }
  size_t left = 0;
  for (size_t start = 0; start < mixed; start += kDrawsTogether) {
    const size_t size = mixed - start < kDrawsTogether ? mixed - start : kDrawsTogether;
    left += prove_tokens(terms, row, index, uniforms, open + start, size, tokens, open + left);
  }
  return left;
}

template <class T>
void lay_cells(const DrawnRow<T>& row, const DrawIndex& index) {
#if COVN_TARGET_UNIT_TERMS
  if (row.rule.unit) return lay_cells_by(unit_row_terms(row.rule), row, index);
#endif
  const Terms terms = load_terms(*row.rule.parameters);
  lay_cells_by(general_terms(row.rule, terms), row, index);
}

// Proposes tokens [count] for uniforms, and gives how many are not proved; `open` [count]: which.
template <class T>
size_t propose_tokens(const DrawnRow<T>& row, const DrawIndex& index, const double* uniforms, size_t count,
                      int32_t* tokens, uint32_t* open) {
#if COVN_TARGET_UNIT_TERMS
  if (row.rule.unit) return propose_tokens_by(unit_row_terms(row.rule), row, index, uniforms, count, tokens, open);
#endif
  const Terms terms = load_terms(*row.rule.parameters);
  return propose_tokens_by(general_terms(row.rule, terms), row, index, uniforms, count, tokens, open);
}
