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
        long_targets_(scoring_.targets, scoring_.targets + (segments_ > 1 ? scoring_.rows : 0)),
        long_rows_(segments_ > 1 ? scoring_.rows * segments_ : 0) {}

  size_t chunk_count() const override { return segments_ > 1 ? long_rows_.size() : blocks_.chunk_count(); }
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

  // Adds the token log-probs of count <= kBatchRows rows to `sum`; false when the job has failed or was cancelled.
  bool score_batch(size_t chunk, size_t first, size_t count, double& sum) {
    if (cancelled()) return false;
    size_t indices[kBatchRows];
    int32_t targets[kBatchRows] = {};
    const T* rows[kBatchRows] = {};
    float logits[kBatchRows] = {};
    size_t scored = 0;
    for (size_t index = first; index < first + count; index++) {
      const int32_t target = read_target(scoring_.targets + index);
      if (target >= 0 && static_cast<size_t>(target) < vocab_) {
        indices[scored] = index;
        targets[scored] = target;
        rows[scored] = row(index);
        logits[scored] = greater_ ? to_float(row(index)[target]) : 0.0f;
        scored++;
      } else if (target == -1) {
        outputs_.write_not_scored(index);
      } else {
        fail(chunk, index, bad_target(index, target, vocab_));
        break;  // the rows before it may hold a failure that comes first
      }
    }
    RowBatch batch;
    RowResults results;
    kernels_.accumulate[weighted_][greater_](rows, scored, vocab_, logits, parameters_, batch);
    kernels_.finish[weighted_](batch, scored, parameters_, results);
    if (!greater_) {  // only now, when the rows are in the cache, unless the kernel needed them
      for (size_t i = 0; i < scored; i++) logits[i] = to_float(rows[i][targets[i]]);
    }
    bool finite = true;
    for (size_t i = 0; i < scored; i++) finite &= batch.sum[i] > 0.0;
    double tokens[kBatchRows];
    token_log_probs(logits, batch, results, scored, scoring_.temperature, tokens);
    if (scored == count && finite) {
      outputs_.write_rows(first, count, tokens, batch, results);
    } else if (!write_some(chunk, indices, scored, tokens, batch, results)) {
      return false;
    }
    for (size_t i = 0; i < scored; i++) sum += tokens[i];
    return true;
  }

  // Rows among which some are not scored or not finite; the tokens of the latter become NaN. False when the job failed.
  bool write_some(size_t chunk, const size_t* indices, size_t scored, double* tokens, const RowBatch& batch,
                  const RowResults& results) {
    for (size_t i = 0; i < scored; i++) {
      if (batch.sum[i] > 0.0) {
        outputs_.write_row(indices[i], tokens[i], batch, results, i);
        continue;
      }
      tokens[i] = std::numeric_limits<double>::quiet_NaN();
      if (Status status = non_finite(indices[i]); !status.ok()) {
        fail(chunk, indices[i], std::move(status));
        return false;
      }
    }
    return true;
  }

  void read_segment(size_t chunk) {
    const size_t index = chunk / segments_, start = chunk % segments_ * kSegment;
    const int32_t target = long_targets_[index];
    if (target == -1) return;
    if (target < 0 || static_cast<size_t>(target) >= vocab_) {
      return fail(chunk, index, bad_target(index, target, vocab_));
    }
    const float logit = to_float(row(index)[target]);
    const T* segment = row(index) + start;
    RowBatch batch;
    kernels_.accumulate[weighted_][greater_](&segment, 1, std::min(kSegment, vocab_ - start), &logit, parameters_,
                                             batch);
    long_rows_[chunk] = {batch.state(0), logit, true};
  }

  // A long row is a block of its own.
  Status merge_segments() {
    for (size_t index = 0; index < scoring_.rows; index++) {
      const Segment* segments = long_rows_.data() + index * segments_;
      double token = 0.0;
      if (!segments->scored) {
        outputs_.write_not_scored(index);
      } else {
        RowState state;
        for (size_t s = 0; s < segments_; s++) state.add(segments[s].state, parameters_);
        if (state.sums.sum > 0.0) {
          RowBatch batch;
          RowResults results;
          batch.set(0, state, parameters_);
          kernels_.finish[weighted_](batch, 1, parameters_, results);
          token_log_probs(&segments->target_logit, batch, results, 1, scoring_.temperature, &token);
          outputs_.write_row(index, token, batch, results, 0);
        } else {
          if (Status status = non_finite(index); !status.ok()) return status;
          token = std::numeric_limits<double>::quiet_NaN();
        }
      }
      blocks_.set(index, token);
    }
    return {};
  }

  Status non_finite(size_t index) {
    return outputs_.write_non_finite(index, "logits", [&] { return describe_non_finite(row(index), vocab_); });
  }

  // What was read of one segment of a long row.
  struct Segment {
    RowState state;
    float target_logit = 0.0f;
    bool scored = false;
  };

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
  std::vector<int32_t> long_targets_;  // [rows], where rows are long: their segments need the same
  std::vector<Segment> long_rows_;     // [rows, segments]
};

Status check(const LogitsRequest& request) {
  if (request.vocab < 1) return expected(Code::range, "an integer >= 1", "vocab", std::to_string(request.vocab));
  if (request.scoring.rows != request.logit_count / request.vocab || request.logit_count % request.vocab != 0) {
    return expected(Code::shape, "rows * vocab elements", "logits", std::to_string(request.logit_count));
  }
  return check_scoring(request.scoring);
}

}  // namespace

Status check_scoring(const TokenRows& tokens) {
  if (!(tokens.temperature >= 1e-6 && tokens.temperature <= 1e6)) {
    return expected(Code::range, "a number in [1e-6, 1e6]", "temperature", std::to_string(tokens.temperature));
  }
  if (const TargetSupport support = target_support(tokens.target); !support.available) {
    return expected(Code::device, "an available device", "device",
                    std::string(target_name(tokens.target)) + " (" + support.reason + ")");
  }
  return check_offsets(tokens.offsets, tokens.rows);
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
