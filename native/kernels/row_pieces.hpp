// Rows of logits read piece by piece, with what each piece adds kept beside the row's own sums.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/sample_table.hpp"
#include "kernels/sample_turns.hpp"
#include "kernels/table.hpp"

namespace covn {

// [rows, pieces] and [rows].
struct RowReading {
  std::vector<RowState> pieces, rows;
  std::vector<double> log_sums;  // [rows]: log sum_j exp((x_j - max)/T), as the scores have it
  std::vector<double> spans;     // [rows, pieces, kPieceSpans], where wanted: RowBatch::spans of each piece
};

template <class T>
class RowPieces {
 public:
  RowPieces(const T* logits, size_t vocab, const KernelTable& table)
      : logits_(logits), vocab_(vocab), kernels_(table.rows<T>()), pieces_((vocab + kPieceLogits - 1) / kPieceLogits) {}

  const T* row(size_t index) const { return logits_ + index * vocab_; }
  size_t pieces() const { return pieces_; }
  size_t piece_size(size_t piece) const { return std::min(kPieceLogits, vocab_ - piece * kPieceLogits); }
  size_t piece_groups(size_t piece) const { return (piece_size(piece) + kGroupLogits - 1) / kGroupLogits; }

  // Of the first few of a row's logits.
  float largest(size_t index, size_t few) const {
    float largest = to_float(*row(index));
    for (size_t i = 1; i < std::min(few, vocab_); i++) largest = std::max(largest, to_float(row(index)[i]));
    return largest;
  }

  // As make_score_job reads them, so that what is merged is the same to the bit.
  void read(RowTurn turn, const RowParameters& parameters, bool with_spans, RowReading& reading) const {
    reading.pieces.assign(turn.count * pieces_, RowState());
    reading.rows.assign(turn.count, RowState());
    reading.spans.resize(with_spans ? turn.count * pieces_ * kPieceSpans : 0);
    if (turn.count > 1 || !read_alone(turn.first, parameters, reading)) read_together(turn, parameters, reading);
    finish(parameters, reading);
  }

  // The same of one row whose pieces have been read, at one place.
  void merge_one(const RowParameters& parameters, RowReading& reading) const {
    reading.rows.assign(1, RowState());
    merge(reading.pieces.data(), parameters, reading.rows[0]);
    finish(parameters, reading);
  }

 private:
  static double* spans_from(RowReading& reading, size_t piece) {
    return reading.spans.empty() ? nullptr : reading.spans.data() + piece * kPieceSpans;
  }

  void read_together(RowTurn turn, const RowParameters& parameters, RowReading& reading) const {
    const size_t count = turn.count;
    RowBatch batch;
    batch.row_spans = pieces_ * kPieceSpans;
    batch.row_blocks = pieces_;
    const T* parts[kBatchRows];
    for (size_t piece = 0; piece < pieces_; piece += segment_pieces()) {
      for (size_t i = 0; i < count; i++) parts[i] = row(turn.first + i * turn.apart) + piece * kPieceLogits;
      batch.spans = spans_from(reading, piece);
      batch.blocks = reading.pieces.data() + piece;
      const size_t size = std::min(segment_pieces() * kPieceLogits, vocab_ - piece * kPieceLogits);
      kernels_.accumulate[0][0](parts, count, size, nullptr, parameters, batch);
      for (size_t i = 0; i < count; i++) {
        if (size <= kPieceLogits) reading.pieces[i * pieces_ + piece] = batch.state(i);
        if (segment_pieces() == pieces_) {
          reading.rows[i] = batch.state(i);
        } else {
          add_piece(batch.state(i), parameters, reading.rows[i]);
        }
      }
    }
  }

  // Several whole pieces at a time; false where they do not add to the row as scores read it, in one go: where they are
  // not all formed alike, or the last would be read as a short row.
  bool read_alone(size_t index, const RowParameters& parameters, RowReading& reading) const {
    if (pieces_ > 1 && piece_size(pieces_ - 1) <= kGroupVocab) return false;
    RowBatch batch;
    batch.row_spans = kPieceSpans;
    const T* parts[kBatchRows];
    const size_t whole = vocab_ / kPieceLogits;
    for (size_t piece = 0; piece < pieces_;) {
      const size_t run = piece < whole ? std::min(kBatchRows, whole - piece) : 1;
      for (size_t i = 0; i < run; i++) parts[i] = row(index) + (piece + i) * kPieceLogits;
      batch.spans = spans_from(reading, piece);
      kernels_.accumulate[0][0](parts, run, piece_size(piece), nullptr, parameters, batch);
      for (size_t i = 0; i < run; i++) reading.pieces[piece++] = batch.state(i);
    }
    const RowState* formed = nullptr;
    for (const RowState& piece : reading.pieces) {
      if (piece.empty()) continue;
      if (pieces_ > 1 && piece.place.origin != 0.0f) return false;
      if (formed != nullptr && piece.unit_max != formed->unit_max) return false;
      formed = &piece;
    }
    merge(reading.pieces.data(), parameters, reading.rows[0]);
    return true;
  }

  // Rows longer than kMaxWholeRow are scored in segments.
  size_t segment_pieces() const { return vocab_ > kMaxWholeRow ? kSegment / kPieceLogits : pieces_; }

  void merge(const RowState* pieces, const RowParameters& parameters, RowState& row) const {
    const size_t step = segment_pieces();
    for (size_t first = 0; first < pieces_; first += step) {
      RowState segment;
      for (size_t p = first; p < std::min(pieces_, first + step); p++) add_piece(pieces[p], parameters, segment);
      if (step == pieces_) {
        row = segment;
      } else {
        add_piece(segment, parameters, row);
      }
    }
  }

  void finish(const RowParameters& parameters, RowReading& reading) const {
    RowBatch batch;
    RowResults results;
    for (size_t i = 0; i < reading.rows.size(); i++) {
      batch.set(i, reading.rows[i], parameters);
      batch.target[i] = reading.rows[i].max;
    }
    kernels_.finish[0](batch, reading.rows.size(), parameters, results);
    reading.log_sums.assign(results.log_sum, results.log_sum + reading.rows.size());
  }

  static void add_piece(const RowState& piece, const RowParameters& parameters, RowState& row) {
    // NaN stays; adding it to a row by places would lose it.
    if (piece.sums.sum != piece.sums.sum || row.sums.sum != row.sums.sum) {
      row.sums.sum = std::numeric_limits<double>::quiet_NaN();
    } else {
      row.add(piece, parameters);
    }
  }

  const T* const logits_;
  const size_t vocab_;
  const RowKernels<T>& kernels_;
  const size_t pieces_;
};

}  // namespace covn
