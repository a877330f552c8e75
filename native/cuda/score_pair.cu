#include "cuda/score_pair.hpp"

#include <algorithm>
#include <vector>

#include "cuda/score_pair.cuh"
#include "cuda/slices.hpp"
#include "covn/cuda.hpp"
#include "kernels/pair_outputs.hpp"
#include "kernels/sum_blocks.hpp"

namespace covn::cuda {

namespace {

template <class T>
cudaError_t launch_parts(const PairInput& in, const PairCut& cut, size_t first, size_t count,
                         const PairConstants& constants, PairState* parts, cudaStream_t stream) {
  if (in.rows == 0) return cudaSuccess;
  return launch(score_pair_parts<T>, static_cast<unsigned>(in.rows * count), cut.threads, 0, stream, in, cut, first,
                count, constants, parts);
}

constexpr size_t round_up(size_t bytes) { return (bytes + 15) / 16 * 16; }

struct PairSlot : SliceSlot {
  std::vector<int32_t> targets;                        // as they were when they were checked; -1 where not scored
  std::vector<std::pair<float, float>> target_logits;  // of the rows that are
  DeviceBuffer<PairState> device_parts;
  PinnedBuffer<PairState> parts;
};

// Slices are some rows of both models, those of the reference first; or, where a row is too long for a slot, some of
// its parts.
template <class T>
class PairJob final : public SlicedJob<ScoreJob, PairSlot> {
 public:
  PairJob(PairRequest request, size_t budget)
      : request_(std::move(request)),
        tokens_(request_.tokens),
        vocab_(request_.vocab),
        reference_(static_cast<const T*>(request_.reference)),
        model_(static_cast<const T*>(request_.model)),
        cut_(cut_pairs(vocab_)),
        constants_(pair_constants(tokens_.temperature)),
        half_(make_row_parameters(2.0 * tokens_.temperature, 0, 1, vocab_)),
        outputs_(request_),
        log_ratios_(tokens_.offsets, kMaxSumBlock, kMaxSumBlock),
        kls_(log_ratios_),
        hellingers_(log_ratios_) {
    const size_t part_bytes = 2 * cut_.length * sizeof(T) + sizeof(PairState);
    const size_t row_bytes = 2 * vocab_ * sizeof(T) + cut_.parts * sizeof(PairState);
    slice_rows_ = std::min(slice_units(budget, row_bytes), std::max<size_t>(tokens_.rows, 1));
    slice_parts_ = row_bytes <= budget / 2 ? cut_.parts : std::min(slice_units(budget, part_bytes), cut_.parts);
    row_slices_ = (cut_.parts + slice_parts_ - 1) / slice_parts_;
  }
  ~PairJob() override { this->close(); }

  size_t chunk_count() const override {
    return in_pieces() ? tokens_.rows * row_slices_ : (tokens_.rows + slice_rows_ - 1) / slice_rows_;
  }
  const std::vector<int64_t>& non_finite_rows() const override { return outputs_.non_finite_rows(); }

 protected:
  Status open(PairSlot& slot) override {
    const size_t rows = in_pieces() ? 1 : slice_rows_;
    const size_t width = in_pieces() ? std::min(slice_parts_ * cut_.length, vocab_) : vocab_;
    COVN_TRY(slot.open(2 * round_up(rows * width * sizeof(T))));
    slot.targets.resize(rows);
    slot.target_logits.resize(rows);
    COVN_TRY(slot.parts.allocate(rows * cut_.parts));
    return slot.device_parts.allocate(rows * cut_.parts, slot.stream);
  }

  Status begin(size_t slice, PairSlot& slot) override {
    if (in_pieces()) return begin_piece(slice, slot);
    const size_t first = slice * slice_rows_, count = std::min(slice_rows_, tokens_.rows - first);
    size_t scored = 0;
    for (size_t i = 0; i < count; i++) {
      slot.targets[i] = checked_target(first + i);
      scored += slot.targets[i] >= 0;
    }
    const size_t row_bytes = vocab_ * sizeof(T), model_at = round_up(scored * row_bytes);
    for (size_t i = 0, at = 0; i < count; i++) {
      if (slot.targets[i] < 0) continue;
      slot.target_logits[at] = target_logits(first + i, slot.targets[i]);
      slot.stage(reference_ + (first + i) * vocab_, row_bytes, at * row_bytes);
      slot.stage(model_ + (first + i) * vocab_, row_bytes, model_at + at * row_bytes);
      at++;
    }
    return send(slot, model_at, model_at + scored * row_bytes, scored, vocab_, 0, 0, cut_.parts);
  }

  Status finish(size_t slice, PairSlot& slot) override {
    if (in_pieces()) {
      finish_piece(slice, slot);
      return {};
    }
    const size_t first = slice * slice_rows_, count = std::min(slice_rows_, tokens_.rows - first);
    for (size_t i = 0, at = 0; i < count; i++) {
      const bool scored = slot.targets[i] >= 0;
      PairState state{};
      if (scored) state = merge_pair_parts(slot.parts.data() + at * cut_.parts, cut_.parts, tokens_.temperature);
      write(first + i, scored, state, slot.target_logits[at]);
      at += scored && at + 1 < slot.target_logits.size();
    }
    return {};
  }

  Status finish_all() override {
    outputs_.sort();
    log_ratios_.sum_responses(request_.log_ratio);
    kls_.sum_responses(request_.kl);
    hellingers_.sum_responses(request_.hellinger);
    return {};
  }

 private:
  bool in_pieces() const { return row_slices_ > 1; }

  // Sends what is staged and enqueues its parts, first .. first + count of rows that begin `skipped` logits before it.
  Status send(PairSlot& slot, size_t model_at, size_t bytes, size_t rows, size_t vocab, size_t skipped, size_t first,
              size_t count) {
    if (rows == 0) return {};
    COVN_TRY(slot.send(bytes));
    // Where the rows would begin; only what is there is read.
    const auto base = reinterpret_cast<uintptr_t>(slot.input.data()) - skipped * sizeof(T);
    const PairInput in{reinterpret_cast<const void*>(base), reinterpret_cast<const void*>(base + model_at), rows,
                       vocab};
    COVN_CUDA_TRY(launch_parts<T>(in, cut_, first, count, constants_, slot.device_parts.data(), slot.stream),
                  "starting a kernel");
    return slot.device_parts.copy_out(slot.parts.data() + first, rows == 1 ? count : rows * count, slot.stream, first);
  }

  Status begin_piece(size_t slice, PairSlot& slot) {
    const size_t row = slice / row_slices_, first = slice % row_slices_ * slice_parts_;
    const size_t count = std::min(slice_parts_, cut_.parts - first), from = first * cut_.length;
    if (first == 0) piece_target_ = checked_target(row);
    slot.targets[0] = piece_target_;
    if (piece_target_ < 0) return {};
    slot.target_logits[0] = target_logits(row, piece_target_);
    const size_t bytes = (std::min(vocab_, from + count * cut_.length) - from) * sizeof(T), model_at = round_up(bytes);
    slot.stage(reference_ + row * vocab_ + from, bytes);
    slot.stage(model_ + row * vocab_ + from, bytes, model_at);
    return send(slot, model_at, model_at + bytes, 1, vocab_, from, first, count);
  }

  // Pieces come in order.
  void finish_piece(size_t slice, const PairSlot& slot) {
    const size_t row = slice / row_slices_, first = slice % row_slices_ * slice_parts_;
    const size_t end = std::min(first + slice_parts_, cut_.parts);
    const bool scored = slot.targets[0] >= 0;
    for (size_t part = first; scored && part < end; part++) {
      if (part == 0) {
        piece_state_ = slot.parts[0];
      } else {
        add_pairs(piece_state_, slot.parts[part], half_);
      }
    }
    if (end == cut_.parts) write(row, scored, piece_state_, slot.target_logits[0]);
  }

  int32_t checked_target(size_t row) {
    const int32_t target = read_target(tokens_.targets + row);
    if (target >= 0 && static_cast<size_t>(target) < vocab_) return target;
    if (target != -1) this->fail_at(row, bad_target(row, target, vocab_));
    return -1;
  }
  std::pair<float, float> target_logits(size_t row, int32_t target) const {
    const size_t at = row * vocab_ + static_cast<size_t>(target);
    return {to_float(reference_[at]), to_float(model_[at])};
  }

  // Rows come in order.
  void write(size_t row, bool scored, const PairState& state, std::pair<float, float> target_logits) {
    if (scored) {
      PairResult result;
      Status status = outputs_.write_row(row, state, reference_ + row * vocab_, model_ + row * vocab_,
                                         target_logits.first, target_logits.second, result);
      if (!status.ok()) this->fail_at(row, std::move(status));
      sum_.log_ratio += result.log_ratio;
      sum_.kl += result.kl;
      sum_.hellinger += result.hellinger;
    } else {
      outputs_.write_not_scored(row);
    }
    if (row + 1 < log_ratios_.end_row(block_)) return;
    log_ratios_.set(block_, sum_.log_ratio);
    kls_.set(block_, sum_.kl);
    hellingers_.set(block_++, sum_.hellinger);
    sum_ = {0.0, 0.0, 0.0};
  }

  const PairRequest request_;
  const TokenRows& tokens_;
  const size_t vocab_;
  const T *const reference_, *const model_;
  const PairCut cut_;
  const PairConstants constants_;
  const RowParameters half_;
  size_t slice_rows_, slice_parts_, row_slices_;
  int32_t piece_target_ = -1;
  PairState piece_state_{};
  PairOutputs outputs_;
  SumBlocks log_ratios_, kls_, hellingers_;  // cut alike
  size_t block_ = 0;                         // the one that rows are added to
  PairResult sum_{0.0, 0.0, 0.0};
};

}  // namespace

size_t pair_parts(size_t vocab) { return cut_pairs(vocab).parts; }

cudaError_t enqueue_pair(DType dtype, const void* reference, const void* model, size_t rows, size_t vocab,
                         double temperature, PairState* parts, cudaStream_t stream) {
  const PairInput in{reference, model, rows, vocab};
  const PairCut cut = cut_pairs(vocab);
  const PairConstants constants = pair_constants(temperature);
  switch (dtype) {
    case DType::f32: return launch_parts<float>(in, cut, 0, cut.parts, constants, parts, stream);
    case DType::f16: return launch_parts<Float16>(in, cut, 0, cut.parts, constants, parts, stream);
    default: return launch_parts<BFloat16>(in, cut, 0, cut.parts, constants, parts, stream);
  }
}

PairState merge_pair_parts(const PairState* parts, size_t count, double temperature) {
  const RowParameters half = make_row_parameters(2.0 * temperature, 0, 1, 1);
  PairState state = parts[0];
  for (size_t i = 1; i < count; i++) add_pairs(state, parts[i], half);
  return state;
}

Status make_pair_job(PairRequest request, std::unique_ptr<ScoreJob>& job) {
  request.tokens.target = Target::scalar;  // means nothing here
  COVN_TRY(check_pair(request));
  size_t budget = 0;
  COVN_TRY(device_budget(budget));
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<PairJob<float>>(std::move(request), budget); break;
    case DType::f16: job = std::make_unique<PairJob<Float16>>(std::move(request), budget); break;
    case DType::bf16: job = std::make_unique<PairJob<BFloat16>>(std::move(request), budget); break;
  }
  return {};
}

}  // namespace covn::cuda
