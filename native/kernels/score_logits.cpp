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

// About 100 microseconds of reading: short enough for fair turns and quick cancellation, long enough to hide the
// hand-over.
constexpr size_t kChunkLogits = size_t{1} << 20;
constexpr size_t kMaxChunkRows = 4 * kMaxSumBlock;  // what is kept of them lies on the stack

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
        parameters_(table_.parameters(scoring_.temperature, vocab_)),
        long_rows_(vocab_ > kMaxWholeRow),
        segments_((vocab_ + kSegment - 1) / kSegment),
        segment_chunks_((segments_ + kRowStreams - 1) / kRowStreams),
        outputs_(scoring_),
        blocks_(scoring_.offsets, std::clamp(std::bit_floor(chunk_rows() / kRowStreams), size_t{1}, kMaxSumBlock),
                chunk_rows()),
        long_targets_(scoring_.targets, scoring_.targets + (long_rows_ ? scoring_.rows : 0)),
        read_segments_(long_rows_ ? scoring_.rows * segments_ : 0) {}

  size_t chunk_count() const override { return long_rows_ ? scoring_.rows * segment_chunks_ : blocks_.chunk_count(); }
  const std::vector<int64_t>& non_finite_rows() const override { return outputs_.non_finite_rows(); }

 protected:
  void run_chunk(size_t chunk) override {
    if (long_rows_) return read_segments(chunk);
    const size_t first_block = blocks_.first_block(chunk), end_block = blocks_.first_block(chunk + 1);
    const size_t first = blocks_.first_row(first_block), end = blocks_.end_row(end_block - 1);
    double tokens[kMaxChunkRows];
    const bool whole =
        vocab_ <= kGroupVocab ? score_short_rows(chunk, first, end, tokens) : score_rows(chunk, first, end, tokens);
    if (!whole) return;
    for (size_t block = first_block; block < end_block; block++) {
      const size_t start = blocks_.first_row(block);
      blocks_.set(block, sum_block(tokens + (start - first), blocks_.end_row(block) - start));
    }
  }

  Status merge() override {
    if (long_rows_) {
      if (Status status = merge_segments(); !status.ok()) return status;
    }
    outputs_.sort();
    blocks_.sum_responses(scoring_.sequence);
    return {};
  }

 private:
  size_t chunk_rows() const { return std::clamp(kChunkLogits / vocab_, size_t{1}, kMaxChunkRows); }
  const T* row(size_t index) const { return logits_ + index * vocab_; }

  // By its offset from the first of the chunk.
  struct ScoredRow {
    uint32_t offset;
    int32_t target;
  };

  // The token log-probs of rows first .. end, 0 where not scored; false if that was cancelled.
  bool score_short_rows(size_t chunk, size_t first, size_t end, double* tokens) {
    ScoredRow scored[kBatchRows];
    for (size_t start = first; start < end; start += kBatchRows) {
      if (cancelled()) return false;
      const size_t stop = std::min(end, start + kBatchRows);
      const size_t count = find_scored(chunk, first, start, stop, scored, tokens);
      score_batch(chunk, scored, count, count == stop - start ? count : 1, first, tokens);
    }
    return true;
  }

  // Longer rows are taken in turn from as many parts of the range as the kernel reads at once.
  bool score_rows(size_t chunk, size_t first, size_t end, double* tokens) {
    ScoredRow scored[kMaxChunkRows], batch[kBatchRows];
    const size_t count = find_scored(chunk, first, first, end, scored, tokens);
    const size_t length = (count + kRowStreams - 1) / kRowStreams, step = kBatchRows / kRowStreams;
    for (size_t start = 0; start < length; start += step) {
      if (cancelled()) return false;
      size_t size = 0;
      for (size_t i = start; i < std::min(length, start + step); i++) {
        for (size_t at = i; at < count; at += length) batch[size++] = scored[at];
      }
      score_batch(chunk, batch, size, 1, first, tokens);
    }
    return true;
  }

  // Finds which of the rows start .. end are scored, and gives how many; deals with the others.
  size_t find_scored(size_t chunk, size_t first, size_t start, size_t end, ScoredRow* scored, double* tokens) {
    size_t count = 0;
    const int32_t* targets = scoring_.targets;
    const auto vocab = static_cast<uint32_t>(std::min(vocab_, size_t{1} << 31));
    for (size_t row = start; row < end; row++) {
      const int32_t target = read_target(targets + row);
      if (static_cast<uint32_t>(target) < vocab) {
        scored[count++] = {static_cast<uint32_t>(row - first), target};
        continue;
      }
      tokens[row - first] = 0.0;
      if (target == -1) {
        outputs_.write_not_scored(row);
      } else {
        fail(chunk, row, bad_target(row, target, vocab_));
      }
    }
    return count;
  }

  // Scores count <= kBatchRows rows, of which each `run` follow one another.
  void score_batch(size_t chunk, const ScoredRow* scored, size_t count, size_t run, size_t first, double* tokens) {
    const T* rows[kBatchRows];
    RowBatch batch;
    RowResults results;
    for (size_t at = 0; at < count; at += run) {
      const T* const base = row(first + scored[at].offset);
      for (size_t i = 0; i < run; i++) rows[at + i] = base + i * vocab_;
    }
    const auto read_target_logits = [&] {
      for (size_t i = 0; i < count; i++) batch.target[i] = to_float(rows[i][scored[i].target]);
    };
    if (greater_) read_target_logits();
    kernels_.accumulate[weighted_][greater_](rows, count, vocab_, batch.target, parameters_, batch);
    if (!greater_) read_target_logits();  // only now, when the rows are in the cache
    kernels_.finish[weighted_](batch, count, parameters_, results);
    for (size_t at = 0; at < count; at += run) {
      const size_t offset = scored[at].offset;
      std::copy_n(results.token + at, run, tokens + offset);
      outputs_.write_rows(first + offset, at, run, batch, results);
    }
    if (results.finite) return;
    for (size_t i = 0; i < count; i++) {
      if (batch.sum[i] > 0.0) continue;
      const size_t index = first + scored[i].offset;
      tokens[scored[i].offset] = std::numeric_limits<double>::quiet_NaN();
      if (Status status = non_finite(index); !status.ok()) fail(chunk, index, std::move(status));
    }
  }

  // Some segments of one row.
  void read_segments(size_t chunk) {
    const size_t index = chunk / segment_chunks_, first = chunk % segment_chunks_ * kRowStreams;
    const int32_t target = long_targets_[index];
    if (target < 0 || static_cast<size_t>(target) >= vocab_) return;  // what that means is said in order of rows
    const float logit = to_float(row(index)[target]);
    const size_t end = std::min(segments_, first + kRowStreams);
    // The last of a row may be shorter, and is read on its own.
    const size_t whole = end == segments_ ? end - 1 : end;
    read_segments(index, first, whole, kSegment, logit);
    if (whole < end) read_segments(index, whole, end, vocab_ - whole * kSegment, logit);
  }

  // Segments first .. end, of one size.
  void read_segments(size_t index, size_t first, size_t end, size_t size, float target_logit) {
    const T* segments[kRowStreams] = {};
    float logits[kRowStreams] = {};
    for (size_t s = first; s < end; s++) {
      segments[s - first] = row(index) + s * kSegment;
      logits[s - first] = target_logit;
    }
    RowBatch batch;
    kernels_.accumulate[weighted_][greater_](segments, end - first, size, logits, parameters_, batch);
    for (size_t s = first; s < end; s++) {
      read_segments_[index * segments_ + s] = {batch.state(s - first), target_logit, true};
    }
  }

  // A long row is a block of its own.
  Status merge_segments() {
    for (size_t index = 0; index < scoring_.rows; index++) {
      const Segment* segments = read_segments_.data() + index * segments_;
      double token = 0.0;
      if (const int32_t target = long_targets_[index]; target < -1 || target >= static_cast<int64_t>(vocab_)) {
        return bad_target(index, target, vocab_);
      }
      if (!segments->scored) {
        outputs_.write_not_scored(index);
      } else {
        RowState state;
        for (size_t s = 0; s < segments_; s++) state.add(segments[s].state, parameters_);
        if (state.sums.sum > 0.0) {
          RowBatch batch;
          RowResults results;
          batch.set(0, state, parameters_);
          batch.target[0] = segments->target_logit;
          kernels_.finish[weighted_](batch, 1, parameters_, results);
          token = results.token[0];
          outputs_.write_rows(index, 0, 1, batch, results);
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
  const bool long_rows_;
  const size_t segments_, segment_chunks_;  // of a long row
  TokenOutputs outputs_;
  SumBlocks blocks_;
  std::vector<int32_t> long_targets_;   // [rows], where rows are long: their segments need the same
  std::vector<Segment> read_segments_;  // [rows, segments]
};

}  // namespace

Status check_logits(const LogitsRequest& request) {
  if (request.vocab < 1) return expected(Code::range, "an integer >= 1", "vocab", std::to_string(request.vocab));
  if (request.scoring.rows != request.logit_count / request.vocab || request.logit_count % request.vocab != 0) {
    return expected(Code::shape, "rows * vocab elements", "logits", std::to_string(request.logit_count));
  }
  return check_scoring(request.scoring);
}

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
  if (Status status = check_logits(request); !status.ok()) return status;
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<LogitsJob<float>>(std::move(request)); break;
    case DType::f16: job = std::make_unique<LogitsJob<Float16>>(std::move(request)); break;
    case DType::bf16: job = std::make_unique<LogitsJob<BFloat16>>(std::move(request)); break;
  }
  return {};
}

}  // namespace covn
