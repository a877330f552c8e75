// What the sampling kernels are given: uniforms, the sums of a row's terms from which tokens are found, and the draws.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/row_parameters.hpp"

namespace covn {

// Philox's key and what its counter has besides the sample.
struct UniformStream {
  uint64_t seed;
  uint32_t sequence, position, stream;
};

// A row is searched from above: pieces of kPieceLogits logits, their spans, the groups of a span, a group's logits.
constexpr size_t kGroupLogits = 16;
constexpr size_t kSpanGroups = 32;
constexpr size_t kPieceSpans = 16;
constexpr size_t kSpanLogits = kGroupLogits * kSpanGroups;
constexpr size_t kPieceGroups = kSpanGroups * kPieceSpans;
constexpr size_t kPieceLogits = kGroupLogits * kPieceGroups;

// Prefixes begin with a 0, the sum before the first item. From the sum with the last item that has any probability on
// they are +inf, so that no rounding of what is searched leads past it.
struct PieceSums {
  float groups[kPieceGroups];
  double group_prefix[kPieceSpans][kSpanGroups + 1];  // within the span
  double span_prefix[kPieceSpans + 1];                // within the piece
  double total;
  double share;  // of draws' rests: how much larger the total is than the piece's sum by which they were found

  // From groups[0 .. count).
  void set_prefixes(size_t count);
  // Of one span's groups alone: draws are then from its beginning on.
  void set_only_span(size_t span);
};

// How terms are formed: at the row's place, those of logits below `least` (finite) being 0; of unit rows as
// kernels/unit_terms.inl.hpp says, times a constant that goes out where they are compared.
struct TermRule {
  Place place;
  bool unit;
  float least;
  const RowParameters* parameters;
};

// A row that is drawn from.
template <class T>
struct DrawnRow {
  const T* logits;
  size_t vocab;
  TermRule rule;
};

// A token's log-prob from its logit x: (x - max)/T - log_sum.
struct LogProbRule {
  float max;
  double temperature, log_sum;
  bool operator==(const LogProbRule&) const = default;
};

// Where the uniforms of a row's tokens lie, for many draws. Groups are those of all its pieces, cells equal parts of
// the uniforms.
struct DrawIndex {
  size_t groups, cell_count;
  int32_t named_cells;  // a group of more, not laid together with others, is searched for tokens that have whole ones
  double total;         // of the row's terms, which uniforms are parts of
  double* bounds;       // [groups + kMaxLanes]: where each group begins, then 1
  int32_t* cells;  // [cell_count + 2 kCellStep]: the token that has all of a cell, or ~g, for a group g that begins
                   // no later than it does
};
constexpr size_t kCellStep = 16;

// Sums of a row's pieces: as the prefixes above, with kMaxLanes times +inf at the end.
struct PiecePrefix {
  const double* sums;  // [1 + pieces + kMaxLanes]
  size_t pieces;
  double total;
};

// Where in a row a draw falls: its piece, and what of the piece's sum comes before the token.
struct PieceDraw {
  uint32_t piece;
  double rest;
};

}  // namespace covn
