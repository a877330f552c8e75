#include <algorithm>
#include <bit>
#include <cmath>

#include "core/validation.hpp"
#include "covn/logprob.hpp"
#include "kernels/sum_blocks.hpp"
#include "kernels/table.hpp"
#include "kernels/token_outputs.hpp"

namespace covn {

namespace {

// About 50 microseconds of reading: short enough for fair turns and quick cancellation, long enough to hide the
// hand-over.
constexpr size_t kChunkLogits = size_t{1} << 19;
// Longer rows are cut into segments of this length, which several threads may read; always the same ones.
constexpr size_t kSegment = size_t{1} << 18;
// Rows whose outputs are made together.
constexpr size_t kBatchRows = 4 * kMaxLanes;

template <class T>
class LogitsJob final : public ScoreJob {
 public:
  explicit LogitsJob(LogitsRequest request)
      : request_(std::move(request)),
        scoring_(request_.scoring),
        vocab_(request_.vocab),
        logits_(static_cast<const T*>(request_.logits)),
        table_(kernels_for(scoring_.target)),
        kernels_(table_.rows<T>()),
        weighted_(scoring_.entropy != nullptr),
        greater_(scoring_.rank != nullptr),
        parameters_(make_row_parameters(scoring_.temperature, table_.table_bits, vocab_)),
        segments_((vocab_ + kSegment - 1) / kSegment),
        outputs_(scoring_),
        blocks_(scoring_.offsets, std::min(kMaxSumBlock, std::bit_floor(chunk_rows())), chunk_rows()),
        states_(segments_ > 1 ? scoring_.rows * segments_ : 0) {}

  size_t chunk_count() const override { return segments_ > 1 ? states_.size() : blocks_.chunk_count(); }
  const std::vector<int64_t>& non_finite_rows() const override { return outputs_.non_finite_rows(); }

 protected:
  void run_chunk(size_t chunk) override {
    if (segments_ > 1) return read_segment(chunk);
    for (size_t block = blocks_.first_block(chunk); block < blocks_.first_block(chunk + 1); block++) {
      double sum = 0.0;
      for (size_t row = blocks_.first_row(block); row < blocks_.end_row(block); row += kBatchRows) {
        if (!score_batch(chunk, row, std::min(kBatchRows, blocks_.end_row(block) - row), sum)) return;
      }
      blocks_.set(block, sum);
    }
  }

  Status merge() override {
    if (segments_ > 1) {
      if (Status status = merge_segments(); !status.ok()) return status;
    }
    outputs_.sort();
    blocks_.sum_responses(scoring_.sequence);
    return {};
  }

 private:
  size_t chunk_rows() const { return std::max<size_t>(1, kChunkLogits / vocab_); }
  const T* row(size_t index) const { return logits_ + index * vocab_; }
  ScoredRow scored_row(size_t index) const { return {index, to_float(row(index)[scoring_.targets[index]])}; }

  // Adds the token log-probs of rows first .. first + count to `sum`; false when the job has failed or was cancelled.
  bool score_batch(size_t chunk, size_t first, size_t count, double& sum) {
    ScoredRow scored[kBatchRows];
    RowState states[kBatchRows + kMaxLanes];
    RowResult results[kBatchRows];
    size_t scored_count = 0;
    for (size_t index = first; index < first + count; index++) {
      bool is_scored = false;
      if (Status status = outputs_.check_target(index, vocab_, is_scored); !status.ok()) {
        // The rows before it may hold a failure that comes first.
        count = index - first;
        fail(chunk, index, std::move(status));
        break;
      }
      if (is_scored) scored[scored_count++] = scored_row(index);
      else outputs_.write_not_scored(index);
    }
    if (!(vocab_ <= kGroupVocab ? read_groups(scored, scored_count, states) : read_rows(scored, scored_count, states)))
      return false;
    kernels_.finish[weighted_](states, scored_count, parameters_, results);
    for (size_t i = 0; i < scored_count; i++) {
      double token = std::numeric_limits<double>::quiet_NaN();
      if (states[i].sum > 0.0) {
        token = outputs_.write_row(scored[i], states[i], results[i]);
      } else if (!write_non_finite(chunk, scored[i].row)) {
        return false;
      }
      sum += token;
    }
    return true;
  }

  bool read_rows(const ScoredRow* scored, size_t count, RowState* states) const {
    for (size_t i = 0; i < count; i++) {
      if (cancelled()) return false;
      states[i] = kernels_.accumulate[weighted_][greater_](row(scored[i].row), vocab_, scored[i].target_logit,
                                                           parameters_, i > 0 ? states[i - 1].place : kNoPlace);
    }
    return true;
  }

  bool read_groups(const ScoredRow* scored, size_t count, RowState* states) const {
    if (cancelled()) return false;
    for (size_t start = 0; start < count; start += table_.lanes) {
      const T* rows[kMaxLanes];
      float targets[kMaxLanes];
      for (size_t i = 0; i < table_.lanes; i++) {
        const ScoredRow& s = scored[std::min(start + i, count - 1)];
        rows[i] = row(s.row);
        targets[i] = s.target_logit;
      }
      kernels_.accumulate_group[weighted_][greater_](
          rows, vocab_, targets, parameters_, start > 0 ? states[start - 1].place : kNoPlace, states + start);
    }
    return true;
  }

  void read_segment(size_t chunk) {
    const size_t index = chunk / segments_;
    bool is_scored = false;
    if (Status status = outputs_.check_target(index, vocab_, is_scored); !status.ok()) {
      return fail(chunk, index, std::move(status));
    }
    if (!is_scored) return;
    const size_t start = chunk % segments_ * kSegment;
    states_[chunk] = kernels_.accumulate[weighted_][greater_](
        row(index) + start, std::min(kSegment, vocab_ - start), scored_row(index).target_logit, parameters_,
        kNoPlace);
  }

  Status merge_segments() {
    // A long row is a block of its own.
    for (size_t index = 0; index < scoring_.rows; index++) {
      if (scoring_.targets[index] == -1) {
        outputs_.write_not_scored(index);
        blocks_.set(index, 0.0);
        continue;
      }
      RowState state;
      for (size_t s = 0; s < segments_; s++) state.add(states_[index * segments_ + s], parameters_);
      double token = std::numeric_limits<double>::quiet_NaN();
      if (state.sum > 0.0) {
        RowResult result;
        kernels_.finish[weighted_](&state, 1, parameters_, &result);
        token = outputs_.write_row(scored_row(index), state, result);
      } else if (Status status = non_finite(index); !status.ok()) {
        return status;
      }
      blocks_.set(index, token);
    }
    return {};
  }

  Status non_finite(size_t index) {
    return outputs_.write_non_finite(index, "logits", [&] { return describe_non_finite(row(index), vocab_); });
  }
  bool write_non_finite(size_t chunk, size_t index) {
    Status status = non_finite(index);
    const bool ok = status.ok();
    if (!ok) fail(chunk, index, std::move(status));
    return ok;
  }

  const LogitsRequest request_;
  const TokenScoring& scoring_;
  const size_t vocab_;
  const T* const logits_;
  const KernelTable& table_;
  const RowKernels<T>& kernels_;
  const bool weighted_, greater_;
  const RowParameters parameters_;
  const size_t segments_;  // of a row
  TokenOutputs outputs_;
  SumBlocks blocks_;
  std::vector<RowState> states_;  // [rows, segments] of long rows
};

Status check(const LogitsRequest& request) {
  if (request.vocab < 1) return expected(Code::range, "an integer >= 1", "vocab", std::to_string(request.vocab));
  if (request.scoring.rows != request.logit_count / request.vocab || request.logit_count % request.vocab != 0) {
    return expected(Code::shape, "rows * vocab elements", "logits", std::to_string(request.logit_count));
  }
  return check_scoring(request.scoring);
}

}  // namespace

Status check_scoring(const TokenScoring& scoring) {
  if (!(scoring.temperature >= 1e-6 && scoring.temperature <= 1e6)) {
    return expected(Code::range, "a number in [1e-6, 1e6]", "temperature", std::to_string(scoring.temperature));
  }
  if (const TargetSupport support = target_support(scoring.target); !support.available) {
    return expected(Code::device, "an available device", "device",
                    std::string(target_name(scoring.target)) + " (" + support.reason + ")");
  }
  return check_offsets(scoring.offsets, scoring.rows);
}

Status make_score_job(LogitsRequest request, std::unique_ptr<ScoreJob>& job) {
  if (Status status = check(request); !status.ok()) return status;
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<LogitsJob<float>>(std::move(request)); break;
    case DType::f16: job = std::make_unique<LogitsJob<Float16>>(std::move(request)); break;
    case DType::bf16: job = std::make_unique<LogitsJob<BFloat16>>(std::move(request)); break;
  }
  return {};
}

}  // namespace covn
