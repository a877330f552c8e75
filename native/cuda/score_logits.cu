#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/score_logits.cuh"
#include "cuda/score_logits.hpp"
#include "cuda/slices.hpp"
#include "covn/cuda.hpp"
#include "kernels/row_parameters.hpp"
#include "kernels/sum_blocks.hpp"
#include "kernels/token_outputs.hpp"

namespace covn::cuda {

namespace {

template <class T>
TermConstants term_constants(double temperature) {
  const RowParameters row = make_row_parameters(temperature, 0, 1, 1);
  TermConstants p{};
  p.rate = row.rate;
  p.step = row.step_high;
  p.floor = offset_of(-125, row);
  p.c1 = row.c[0], p.c2 = row.c[1], p.c3 = row.c[2], p.c4 = row.c[3], p.c5 = row.c[4], p.c6 = row.c[5];
  p.margin = offset_of(2, row);
  // The rate that terms are in effect formed with: that of a float, or of whole octaves that are a float's.
  const double exact = kLog2E / temperature, octave = temperature * kLn2;
  p.finish.inverse_temperature = 1.0 / temperature;
  p.finish.tilt = sizeof(T) == 4 ? (octave - p.step) / octave : (p.rate - exact) / exact;
  p.finish.rate = sizeof(T) == 4 ? exact * (1.0 + p.finish.tilt) : static_cast<double>(p.rate);
  return p;
}

// Warps of a block: few warps are spread over the device, many come in blocks that start quickly.
unsigned block_warps(size_t warps) {
  unsigned n = 8;
  while (n > 1 && warps / n < 512) n /= 2;
  return n;
}
unsigned block_count(size_t warps, unsigned in_block) {
  return static_cast<unsigned>((warps + in_block - 1) / in_block);
}

template <class T>
cudaError_t launch_parts(const ScoreInput& in, RowCut cut, size_t first, size_t count, const TermConstants& constants,
                         RowPart* parts, cudaStream_t stream) {
  const size_t warps = in.rows * count;
  const unsigned in_block = block_warps(warps);
  return launch(score_parts<T>, block_count(warps, in_block), in_block * kWarpLanes, 0, stream, in, cut, first, count,
                constants, parts);
}

template <class T>
cudaError_t launch_merge(const ScoreInput& in, RowCut cut, const TermConstants& constants, const RowPart* parts,
                         RowScore* scores, cudaStream_t stream) {
  const unsigned in_block = block_warps(in.rows);
  return launch(merge_row_parts<T>, block_count(in.rows, in_block), in_block * kWarpLanes, 0, stream, in, parts,
                cut.parts, constants, scores);
}

// results [rows]: scores, or parts.
template <class T, class Result>
cudaError_t launch_short_rows(const ScoreInput& in, const TermConstants& constants, Result* results,
                              cudaStream_t stream) {
  const int lanes = lanes_of_row<T>(in.vocab);
  const size_t together = kWarpLanes / lanes;
  int turns = lanes;
  while (turns > 1 && in.rows / (together * turns) < 2048) turns /= 2;
  const size_t warps = (in.rows + together * turns - 1) / (together * turns);
  const unsigned in_block = block_warps(warps);
  return launch(score_short_rows<T, Result>, block_count(warps, in_block), in_block * kWarpLanes, 0, stream, in, lanes,
                turns, constants, results);
}

template <class T>
cudaError_t launch_rows(const ScoreInput& in, const TermConstants& constants, RowPart* parts, RowScore* scores,
                        cudaStream_t stream) {
  if (in.rows == 0) return cudaSuccess;
  if (is_short_row<T>(in.vocab)) return launch_short_rows<T>(in, constants, scores, stream);
  const RowCut cut = cut_row<T>(in.vocab);
  const cudaError_t error = launch_parts<T>(in, cut, 0, cut.parts, constants, parts, stream);
  return error != cudaSuccess ? error : launch_merge<T>(in, cut, constants, parts, scores, stream);
}

template <class T>
size_t parts_of_row(size_t vocab) {
  return is_short_row<T>(vocab) ? 0 : cut_row<T>(vocab).parts;
}

struct ScoreSlot : SliceSlot {
  std::vector<int32_t> row_targets;  // as they were when they were checked; -1 where not scored
  PinnedBuffer<int32_t> targets;     // of the rows that are, which alone are copied
  DeviceBuffer<int32_t> device_targets;
  PinnedBuffer<uint32_t> target_bits;  // of a row in pieces
  DeviceBuffer<uint32_t> device_target_bits;
  DeviceBuffer<RowPart> parts;
  DeviceBuffer<RowScore> device_scores;
  PinnedBuffer<RowScore> scores;
  Event parts_done;
};

template <class T>
class LogitsJob final : public SlicedJob<ScoreJob, ScoreSlot> {
 public:
  LogitsJob(LogitsRequest request, size_t budget)
      : request_(std::move(request)),
        scoring_(request_.scoring),
        vocab_(request_.vocab),
        logits_(static_cast<const T*>(request_.logits)),
        constants_(term_constants<T>(scoring_.temperature)),
        cut_(cut_row<T>(vocab_)),
        slot_bytes_(std::max<size_t>(budget / 2, 1)),
        outputs_(scoring_),
        blocks_(scoring_.offsets, kMaxSumBlock, kMaxSumBlock) {
    const size_t row_bytes = vocab_ * sizeof(T) + sizeof(int32_t) + sizeof(RowScore) + row_parts() * sizeof(RowPart);
    slice_rows_ = std::min(std::max<size_t>(slot_bytes_ / row_bytes, 1), std::max<size_t>(scoring_.rows, 1));
    // A row that no slot holds comes in pieces of whole parts.
    if (row_bytes > slot_bytes_ && row_parts() > 1) {
      slice_parts_ = std::clamp<size_t>(slot_bytes_ / (cut_.length * sizeof(T)), 1, cut_.parts);
      row_slices_ = (cut_.parts + slice_parts_ - 1) / slice_parts_;
    }
  }
  ~LogitsJob() override { this->close(); }

  size_t chunk_count() const override {
    return in_pieces() ? scoring_.rows * row_slices_ : (scoring_.rows + slice_rows_ - 1) / slice_rows_;
  }
  const std::vector<int64_t>& non_finite_rows() const override { return outputs_.non_finite_rows(); }

 protected:
  Status open(ScoreSlot& slot) override {
    const size_t rows = in_pieces() ? 1 : slice_rows_;
    COVN_TRY(
        slot.open(in_pieces() ? std::min(slice_parts_ * cut_.length, vocab_) * sizeof(T) : rows * vocab_ * sizeof(T)));
    slot.row_targets.resize(rows);
    COVN_TRY(slot.targets.allocate(rows));
    COVN_TRY(slot.device_targets.allocate(rows, slot.stream));
    COVN_TRY(slot.scores.allocate(rows));
    COVN_TRY(slot.device_scores.allocate(rows, slot.stream));
    if (!in_pieces()) return slot.parts.allocate(rows * row_parts(), slot.stream);
    COVN_TRY(slot.target_bits.allocate(1));
    COVN_TRY(slot.device_target_bits.allocate(1, slot.stream));
    COVN_TRY(slot.parts_done.create());
    return open_piece_parts();
  }

  Status begin(size_t slice, ScoreSlot& slot) override {
    if (in_pieces()) return begin_piece(slice, slot);
    const size_t first = slice * slice_rows_, count = std::min(slice_rows_, scoring_.rows - first);
    size_t scored = 0;
    for (size_t i = 0; i < count; i++) {
      const int32_t target = slot.row_targets[i] = checked_target(first + i);
      if (target >= 0) slot.targets[scored++] = target;
    }
    if (scored == 0) return {};
    stage_rows(first, count, slot);
    COVN_TRY(slot.send(scored * vocab_ * sizeof(T)));
    COVN_TRY(slot.device_targets.copy_in(slot.targets.data(), scored, slot.stream));
    const ScoreInput in{slot.input.data(), slot.device_targets.data(), nullptr, scored, vocab_};
    COVN_CUDA_TRY(launch_rows<T>(in, constants_, slot.parts.data(), slot.device_scores.data(), slot.stream),
                  "starting a kernel");
    return slot.device_scores.copy_out(slot.scores.data(), scored, slot.stream);
  }

  Status finish(size_t slice, ScoreSlot& slot) override {
    if (in_pieces()) {
      if ((slice + 1) % row_slices_ == 0) write(slice / row_slices_, slot.row_targets[0], slot.scores[0]);
      return {};
    }
    const size_t first = slice * slice_rows_, count = std::min(slice_rows_, scoring_.rows - first);
    for (size_t i = 0, scored = 0; i < count; i++) {
      const int32_t target = slot.row_targets[i];
      write(first + i, target, slot.scores[scored]);
      scored += target >= 0 && scored + 1 < slot.scores.size();
    }
    return {};
  }

  Status finish_all() override {
    outputs_.sort();
    blocks_.sum_responses(scoring_.sequence);
    return {};
  }

 private:
  size_t row_parts() const { return parts_of_row<T>(vocab_); }
  bool in_pieces() const { return row_slices_ > 0; }

  // A row's parts are written by the slots in turn, and merged after its last piece. Two rows may be under way.
  Status open_piece_parts() {
    if (piece_parts_[0].size() > 0) return {};
    COVN_TRY(piece_stream_.create());
    for (DeviceBuffer<RowPart>& parts : piece_parts_) COVN_TRY(parts.allocate(cut_.parts, piece_stream_));
    return piece_stream_.synchronize();  // other streams use them
  }

  // Copies the scored rows to pinned memory, one behind the other, as many at once as follow one another.
  void stage_rows(size_t first, size_t count, ScoreSlot& slot) {
    size_t at = 0;
    for (size_t i = 0; i < count;) {
      size_t end = i;
      while (end < count && slot.row_targets[end] >= 0) end++;
      slot.stage(logits_ + (first + i) * vocab_, (end - i) * vocab_ * sizeof(T), at);
      at += (end - i) * vocab_ * sizeof(T);
      while (end < count && slot.row_targets[end] < 0) end++;
      i = end;
    }
  }

  Status begin_piece(size_t slice, ScoreSlot& slot) {
    const size_t row = slice / row_slices_, first = slice % row_slices_ * slice_parts_;
    const size_t count = std::min(slice_parts_, cut_.parts - first), from = first * cut_.length;
    if (first == 0) piece_target_ = checked_target(row);
    const int32_t target = slot.row_targets[0] = slot.targets[0] = piece_target_;
    if (target < 0) return {};
    const T* logits = logits_ + row * vocab_;
    const size_t bytes = (std::min(vocab_, from + count * cut_.length) - from) * sizeof(T);
    slot.stage(logits + from, bytes);
    COVN_TRY(slot.send(bytes));
    COVN_TRY(slot.device_targets.copy_in(slot.targets.data(), 1, slot.stream));
    if constexpr (sizeof(T) == 4) {
      slot.target_bits[0] = std::bit_cast<uint32_t>(logits[target]);
    } else {
      slot.target_bits[0] = logits[target].bits;
    }
    COVN_TRY(slot.device_target_bits.copy_in(slot.target_bits.data(), 1, slot.stream));
    // Where the row would begin; only the pieces' own places are read.
    const auto base = reinterpret_cast<uintptr_t>(slot.input.data()) - from * sizeof(T);
    const ScoreInput in{reinterpret_cast<const void*>(base), slot.device_targets.data(), slot.device_target_bits.data(),
                        1, vocab_};
    RowPart* const parts = piece_parts_[row % 2].data();
    COVN_CUDA_TRY(launch_parts<T>(in, cut_, first, count, constants_, parts, slot.stream), "starting a kernel");
    COVN_TRY(slot.parts_done.record(slot.stream));
    if (first + count < cut_.parts) return {};
    // The piece before this one; those before that are done, or come first in this stream.
    if (first > 0) COVN_TRY(this->other(slot).parts_done.hold(slot.stream));
    COVN_CUDA_TRY(launch_merge<T>(in, cut_, constants_, parts, slot.device_scores.data(), slot.stream),
                  "starting a kernel");
    return slot.device_scores.copy_out(slot.scores.data(), 1, slot.stream);
  }

  int32_t checked_target(size_t row) {
    const int32_t target = read_target(scoring_.targets + row);
    if (target >= 0 && static_cast<size_t>(target) < vocab_) return target;
    if (target != -1) this->fail_at(row, bad_target(row, target, vocab_));
    return -1;
  }

  // Rows come in order.
  void write(size_t row, int32_t target, const RowScore& score) {
    double token = 0.0;
    if (target < 0) {
      outputs_.write_not_scored(row);
    } else if (score.rank > 0) {
      token = score.token;
      outputs_.write(row, score.token, score.log_z, score.entropy, score.rank);
    } else {
      token = std::numeric_limits<double>::quiet_NaN();
      const auto describe = [&] { return describe_non_finite(logits_ + row * vocab_, vocab_); };
      if (Status status = outputs_.write_non_finite(row, "logits", describe); !status.ok()) {
        this->fail_at(row, std::move(status));
      }
    }
    block_tokens_[block_size_++] = token;
    if (row + 1 < blocks_.end_row(block_)) return;
    blocks_.set(block_++, sum_block(block_tokens_, block_size_));
    block_size_ = 0;
  }

  const LogitsRequest request_;
  const TokenScoring& scoring_;
  const size_t vocab_;
  const T* const logits_;
  const TermConstants constants_;
  const RowCut cut_;
  const size_t slot_bytes_;
  size_t slice_rows_, slice_parts_ = 0, row_slices_ = 0;
  Stream piece_stream_;
  DeviceBuffer<RowPart> piece_parts_[2];
  int32_t piece_target_ = -1;
  TokenOutputs outputs_;
  SumBlocks blocks_;
  size_t block_ = 0, block_size_ = 0;  // the block of a response's sum that rows are added to
  double block_tokens_[kMaxSumBlock];
};

}  // namespace

size_t score_workspace(DType dtype, size_t rows, size_t vocab) {
  return rows * (dtype == DType::f32 ? parts_of_row<float>(vocab) : parts_of_row<BFloat16>(vocab));
}

cudaError_t enqueue_score(DType dtype, const void* logits, size_t rows, size_t vocab, const int32_t* targets,
                          double temperature, RowPart* workspace, RowScore* scores, cudaStream_t stream) {
  const ScoreInput in{logits, targets, nullptr, rows, vocab};
  switch (dtype) {
    case DType::f32: return launch_rows<float>(in, term_constants<float>(temperature), workspace, scores, stream);
    case DType::f16: return launch_rows<Float16>(in, term_constants<Float16>(temperature), workspace, scores, stream);
    default: return launch_rows<BFloat16>(in, term_constants<BFloat16>(temperature), workspace, scores, stream);
  }
}

template <class T>
RowCut row_cut(size_t vocab) {
  return is_short_row<T>(vocab) ? RowCut{1, vocab} : cut_row<T>(vocab);
}
template RowCut row_cut<float>(size_t);
template RowCut row_cut<Float16>(size_t);
template RowCut row_cut<BFloat16>(size_t);

template <class T>
RowFinish row_finish(double temperature) {
  return term_constants<T>(temperature).finish;
}
template RowFinish row_finish<float>(double);
template RowFinish row_finish<Float16>(double);
template RowFinish row_finish<BFloat16>(double);

template <class T>
cudaError_t enqueue_row_parts(const T* logits, size_t rows, size_t vocab, double temperature, RowPart* parts,
                              cudaStream_t stream) {
  const ScoreInput in{logits, nullptr, nullptr, rows, vocab};
  const TermConstants constants = term_constants<T>(temperature);
  if (rows == 0) return cudaSuccess;
  if (is_short_row<T>(vocab)) return launch_short_rows<T>(in, constants, parts, stream);
  const RowCut cut = cut_row<T>(vocab);
  return launch_parts<T>(in, cut, 0, cut.parts, constants, parts, stream);
}
template cudaError_t enqueue_row_parts(const float*, size_t, size_t, double, RowPart*, cudaStream_t);
template cudaError_t enqueue_row_parts(const Float16*, size_t, size_t, double, RowPart*, cudaStream_t);
template cudaError_t enqueue_row_parts(const BFloat16*, size_t, size_t, double, RowPart*, cudaStream_t);

Status make_score_job(LogitsRequest request, std::unique_ptr<ScoreJob>& job) {
  request.scoring.target = Target::scalar;  // means nothing here
  COVN_TRY(check_logits(request));
  size_t budget = 0;
  COVN_TRY(device_budget(budget));
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<LogitsJob<float>>(std::move(request), budget); break;
    case DType::f16: job = std::make_unique<LogitsJob<Float16>>(std::move(request), budget); break;
    case DType::bf16: job = std::make_unique<LogitsJob<BFloat16>>(std::move(request), budget); break;
  }
  return {};
}

}  // namespace covn::cuda
