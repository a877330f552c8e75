// How a job reads and draws from its rows: by their shape and the filter alone, but for the sizes of chunks, which
// follow the number of processors too.
#pragma once

#include <algorithm>
#include <cstddef>

#include "covn/sample.hpp"
#include "kernels/draw_index.hpp"
#include "kernels/row_parameters.hpp"
#include "kernels/sample_table.hpp"
#include "kernels/sample_turns.hpp"

namespace covn {

struct SamplePlan {
  // Draws of a row, at most, of one chunk. Where a row gives more, chunks share it, and each reads it again.
  static constexpr size_t kRowDraws = size_t{1} << 17;

  const bool indexed;        // whether an index of tokens is made
  const bool alone;          // whether draws find their spans by the reading's sums, and form those groups' sums alone
  const bool grouped;        // whether rows are read together with their groups' sums
  const size_t bytes_ahead;  // of each next row, that drawing asks for; reading it asks for the rest
  const size_t row_chunks;   // that share a row
  const size_t rows_together;  // that are read at the same time
  const SampleTurns turns;     // of chunks that share no row, or of one row each

  // Of logits of so many bytes; lanes: of the target's vectors.
  SamplePlan(const SampleRequest& request, size_t logit_bytes, size_t lanes)
      : indexed(DrawIndexMemory::pays(request.vocab, request.samples)),
        alone(request.filter.keeps_all() && request.samples <= most_alone(pieces(request), lanes)),
        grouped(request.filter.keeps_all() && (request.vocab - 1) % kPieceLogits >= kGroupVocab &&
                (indexed || (!alone && lanes < kMaxLanes && pieces(request) <= kPiecesADraw * request.samples))),
        bytes_ahead(logit_bytes *
                    (indexed ? std::min(request.vocab, kDrawBytes * request.samples / logit_bytes) : kPieceLogits)),
        row_chunks(std::max<size_t>(1, (request.samples + kRowDraws - 1) / kRowDraws)),
        rows_together(together(request.vocab, logit_bytes)),
        turns(request.rows, row_chunks > 1 ? 1 : share(request), rows_together, rows_together == kRowStreams) {}

 private:
  // A chunk reads at most about this many logits and draws about so many tokens.
  static constexpr size_t kChunkLogits = size_t{1} << 20, kChunkDraws = size_t{1} << 15;
  // Of the next row a draw, at most: what memory gives meanwhile.
  static constexpr size_t kDrawBytes = 48;
  // At most, where narrow vectors, which take longer for a row's terms than memory for its logits, form its groups'
  // sums.
  static constexpr size_t kPiecesADraw = 4;
  // So many draws a piece take as long as forming all of its groups' sums, which wide vectors, waiting for memory, do
  // less well.
  static constexpr size_t kFewAlone = 4, kManyAlone = 16, kDrawsAPiece = 1, kWideDrawsAPiece = 4;
  // Rows are read together where they are read once, or fit the cache until they are read again.
  static constexpr size_t kCachedBytes = size_t{1} << 19;

  static size_t pieces(const SampleRequest& request) { return (request.vocab + kPieceLogits - 1) / kPieceLogits; }

  static size_t most_alone(size_t pieces, size_t lanes) {
    return std::clamp(pieces * (lanes < kMaxLanes ? kDrawsAPiece : kWideDrawsAPiece), kFewAlone, kManyAlone);
  }

  size_t together(size_t vocab, size_t logit_bytes) const {
    if (vocab <= kGroupVocab) return kBatchRows;
    if (indexed || grouped) return 1;  // there is time to ask for the next row
    return alone || kRowStreams * vocab * logit_bytes <= kCachedBytes ? kRowStreams : 1;
  }

  static size_t share(const SampleRequest& request) {
    return std::clamp(std::min(kChunkLogits / request.vocab, kChunkDraws / request.samples), size_t{1}, kBatchRows);
  }
};

}  // namespace covn
