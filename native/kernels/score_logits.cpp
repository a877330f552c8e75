#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "core/validation.hpp"
#include "covn/logprob.hpp"
#include "kernels/rescale.hpp"
#include "kernels/sequence_sum.hpp"
#include "kernels/table.hpp"

namespace covn {

namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// About 50 microseconds of work: short enough for fair turns and quick cancellation, long enough to hide the hand-over.
constexpr size_t kChunkLogits = size_t{1} << 17;
// A row is read in pieces of this many logits between looks at `cancelled()`.
constexpr size_t kPiece = 32 * kRowBlock;

template <class T>
AccumulateRow<T> pick(const KernelTable& table, bool weighted, bool greater);
template <>
AccumulateRow<float> pick(const KernelTable& table, bool weighted, bool greater) {
  return table.accumulate_f32[weighted][greater];
}
template <>
AccumulateRow<Float16> pick(const KernelTable& table, bool weighted, bool greater) {
  return table.accumulate_f16[weighted][greater];
}
template <>
AccumulateRow<BFloat16> pick(const KernelTable& table, bool weighted, bool greater) {
  return table.accumulate_bf16[weighted][greater];
}

// What the outputs of one row are computed from, in double.
struct RowResult {
  double token, log_z, entropy;
};

RowResult finish_row(const RowState& state, const RowParameters& parameters) {
  const double log_sum = std::log(state.sum);
  const double max = state.max;
  // (x_t - m) - log(s), never x_t - (m + log s): the latter loses the bits of log(s) when m is large.
  const double token = (parameters.target - max) / parameters.temperature - log_sum;
  // The kernel's exponents were scaled by the high part of log2(e)/T alone.
  const double scale = kLog2E / parameters.temperature / parameters.scale_high;
  const double entropy = log_sum - kLn2 * scale * state.weighted / state.sum;
  return {token, max / parameters.temperature + log_sum, std::max(0.0, entropy)};
}

template <class T>
class LogitsJob final : public ScoreJob {
 public:
  explicit LogitsJob(ScoreRequest request)
      : request_(std::move(request)),
        logits_(static_cast<const T*>(request_.logits)),
        rows_per_chunk_(std::max<size_t>(1, kChunkLogits / request_.vocab)),
        accumulate_(pick<T>(kernels_for(request_.target), request_.entropy != nullptr, request_.rank != nullptr)),
        token_(request_.rows) {}

  size_t chunk_count() const override { return (request_.rows + rows_per_chunk_ - 1) / rows_per_chunk_; }
  const std::vector<int64_t>& non_finite_rows() const override { return non_finite_rows_; }

 protected:
  void run_chunk(size_t chunk) override {
    const double scale = kLog2E / request_.temperature;
    const float high = static_cast<float>(scale);
    RowParameters parameters{high, static_cast<float>(scale - high), request_.temperature, 0.0f};
    const size_t end = std::min(request_.rows, (chunk + 1) * rows_per_chunk_);
    for (size_t row = chunk * rows_per_chunk_; row < end && !cancelled(); row++) {
      if (!score_row(chunk, row, parameters)) return;
    }
  }

  Status merge() override {
    std::sort(non_finite_rows_.begin(), non_finite_rows_.end());
    for (size_t i = 0; i + 1 < request_.offsets.size(); i++) {
      request_.sequence[i] =
          sum_response(static_cast<size_t>(request_.offsets[i]), static_cast<size_t>(request_.offsets[i + 1]),
                       [this](size_t row) { return request_.targets[row] < 0 ? 0.0 : token_[row]; });
    }
    return {};
  }

 private:
  // False when the job has failed or was cancelled.
  bool score_row(size_t chunk, size_t row, RowParameters& parameters) {
    const int64_t target = request_.targets[row];
    if (target == -1) {
      write_row(row, {kNaN, kNaN, kNaN}, 0);
      return true;
    }
    const auto vocab = static_cast<int64_t>(request_.vocab);
    if (target < 0 || target >= vocab) {
      fail(chunk, row,
           expected(Code::range, "an integer in [-1, " + std::to_string(vocab - 1) + "]",
                    "targets[" + std::to_string(row) + "]", std::to_string(target)));
      return false;
    }
    const T* x = logits_ + row * request_.vocab;
    parameters.target = to_float(x[target]);
    RowState state = empty_row();
    for (size_t start = 0; start < request_.vocab; start += kPiece) {
      if (cancelled()) return false;
      accumulate_(state, x + start, std::min(kPiece, request_.vocab - start), parameters);
    }
    if (!(state.sum > 0.0)) return non_finite_row(chunk, row, x);
    write_row(row, finish_row(state, parameters), static_cast<int32_t>(state.greater + 1));
    return true;
  }

  void write_row(size_t row, const RowResult& result, int32_t rank) {
    token_[row] = result.token;
    if (request_.token) request_.token[row] = static_cast<float>(result.token);
    if (request_.log_z) request_.log_z[row] = result.log_z;
    if (request_.entropy) request_.entropy[row] = static_cast<float>(result.entropy);
    if (request_.rank) request_.rank[row] = rank;
  }

  bool non_finite_row(size_t chunk, size_t row, const T* x) {
    if (request_.propagate_non_finite) {
      write_row(row, {kNaN, kNaN, kNaN}, 0);
      std::lock_guard lock(mutex_);
      non_finite_rows_.push_back(static_cast<int64_t>(row));
      return true;
    }
    fail(chunk, row,
         expected(Code::non_finite, "logits below +inf, not all of them -inf,",
                  "row " + std::to_string(row) + " of logits", describe_row(x)));
    return false;
  }

  std::string describe_row(const T* x) const {
    for (size_t i = 0; i < request_.vocab; i++) {
      const float value = to_float(x[i]);
      if (std::isnan(value)) return "NaN at column " + std::to_string(i);
      if (value == std::numeric_limits<float>::infinity()) return "+inf at column " + std::to_string(i);
    }
    return "-inf in every column";
  }

  const ScoreRequest request_;
  const T* const logits_;
  const size_t rows_per_chunk_;
  const AccumulateRow<T> accumulate_;
  std::vector<double> token_;  // [rows], before rounding
  std::mutex mutex_;
  std::vector<int64_t> non_finite_rows_;
};

Status check(const ScoreRequest& request) {
  if (request.vocab < 1) return expected(Code::range, "an integer >= 1", "vocab", std::to_string(request.vocab));
  if (request.rows != request.logit_count / request.vocab || request.logit_count % request.vocab != 0) {
    return expected(Code::shape, "rows * vocab elements", "logits", std::to_string(request.logit_count));
  }
  if (!(request.temperature >= 1e-6 && request.temperature <= 1e6)) {
    return expected(Code::range, "a number in [1e-6, 1e6]", "temperature", std::to_string(request.temperature));
  }
  if (const TargetSupport support = target_support(request.target); !support.available) {
    return expected(Code::device, "an available device", "device",
                    std::string(target_name(request.target)) + " (" + support.reason + ")");
  }
  return check_offsets(request.offsets, request.rows);
}

}  // namespace

Status make_score_job(ScoreRequest request, std::unique_ptr<ScoreJob>& job) {
  if (Status status = check(request); !status.ok()) return status;
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<LogitsJob<float>>(std::move(request)); break;
    case DType::f16: job = std::make_unique<LogitsJob<Float16>>(std::move(request)); break;
    case DType::bf16: job = std::make_unique<LogitsJob<BFloat16>>(std::move(request)); break;
  }
  return {};
}

}  // namespace covn
