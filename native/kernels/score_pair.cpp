#include <algorithm>
#include <bit>

#include "covn/pair.hpp"
#include "kernels/pair_outputs.hpp"
#include "kernels/sum_blocks.hpp"
#include "kernels/table.hpp"

namespace covn {

namespace {

// About 50 microseconds of reading; see score_logits.cpp.
constexpr size_t kChunkPairs = size_t{1} << 18;

template <class T>
class PairJob final : public ScoreJob {
 public:
  explicit PairJob(PairRequest request)
      : request_(std::move(request)),
        tokens_(request_.tokens),
        vocab_(request_.vocab),
        reference_(static_cast<const T*>(request_.reference)),
        model_(static_cast<const T*>(request_.model)),
        accumulate_(kernels_for(tokens_.target).pairs.of(T{})),
        half_(kernels_for(tokens_.target).parameters(2.0 * tokens_.temperature, vocab_)),
        log_ratios_(tokens_.offsets, std::min(kMaxSumBlock, std::bit_floor(chunk_rows())), chunk_rows()),
        kls_(log_ratios_),
        hellingers_(log_ratios_),
        outputs_(request_) {}

  size_t chunk_count() const override { return log_ratios_.chunk_count(); }
  const std::vector<int64_t>& non_finite_rows() const override { return outputs_.non_finite_rows(); }

 protected:
  void run_chunk(size_t chunk) override {
    for (size_t block = log_ratios_.first_block(chunk); block < log_ratios_.first_block(chunk + 1); block++) {
      PairResult sum{0.0, 0.0, 0.0};
      for (size_t row = log_ratios_.first_row(block); row < log_ratios_.end_row(block); row++) {
        if (cancelled()) return;
        if (Status status = score_row(row, sum); !status.ok()) return fail(chunk, row, std::move(status));
      }
      log_ratios_.set(block, sum.log_ratio);
      kls_.set(block, sum.kl);
      hellingers_.set(block, sum.hellinger);
    }
  }

  Status merge() override {
    outputs_.sort();
    log_ratios_.sum_responses(request_.log_ratio);
    kls_.sum_responses(request_.kl);
    hellingers_.sum_responses(request_.hellinger);
    return {};
  }

 private:
  size_t chunk_rows() const { return std::max<size_t>(1, kChunkPairs / vocab_); }

  // Adds what a row gives to `sum`.
  Status score_row(size_t row, PairResult& sum) {
    const int32_t target = read_target(tokens_.targets + row);
    if (target < -1 || (target >= 0 && static_cast<size_t>(target) >= vocab_)) return bad_target(row, target, vocab_);
    if (target == -1) {
      outputs_.write_not_scored(row);
      return {};
    }
    const T *reference = reference_ + row * vocab_, *model = model_ + row * vocab_;
    PairState state;
    PairResult result;
    accumulate_(reference, model, vocab_, half_, state);
    if (Status status = outputs_.write_row(row, state, reference, model, to_float(reference[target]),
                                           to_float(model[target]), result);
        !status.ok()) {
      return status;
    }
    sum.log_ratio += result.log_ratio;
    sum.kl += result.kl;
    sum.hellinger += result.hellinger;
    return {};
  }

  const PairRequest request_;
  const TokenRows& tokens_;
  const size_t vocab_;
  const T *const reference_, *const model_;
  const AccumulatePair<T> accumulate_;
  const RowParameters half_;
  SumBlocks log_ratios_, kls_, hellingers_;  // cut alike
  PairOutputs outputs_;
};

}  // namespace

Status check_pair(const PairRequest& request) {
  if (request.vocab < 1) return expected(Code::range, "an integer >= 1", "vocab", std::to_string(request.vocab));
  for (const auto& [name, count] : {std::pair{"reference", request.reference_count}, {"model", request.model_count}}) {
    if (request.tokens.rows != count / request.vocab || count % request.vocab != 0) {
      return expected(Code::shape, "rows * vocab elements", name, std::to_string(count));
    }
  }
  return check_scoring(request.tokens);
}

Status make_pair_job(PairRequest request, std::unique_ptr<ScoreJob>& job) {
  if (Status status = check_pair(request); !status.ok()) return status;
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<PairJob<float>>(std::move(request)); break;
    case DType::f16: job = std::make_unique<PairJob<Float16>>(std::move(request)); break;
    case DType::bf16: job = std::make_unique<PairJob<BFloat16>>(std::move(request)); break;
  }
  return {};
}

}  // namespace covn
