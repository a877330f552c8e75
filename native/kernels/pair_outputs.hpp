// What becomes of a scored row of two models: the outputs that were asked for, and rows that are not finite.
#pragma once

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "covn/pair.hpp"
#include "kernels/pair_sums.hpp"
#include "kernels/token_outputs.hpp"

namespace covn {

Status check_pair(const PairRequest& request);

class PairOutputs {
 public:
  explicit PairOutputs(const PairRequest& request) : request_(request) {}

  void write_not_scored(size_t row) const { write(row, not_a_number()); }

  // Of a scored row, whose logits these are: its outputs, also in `result`; NaN where it is not finite, which is noted
  // or is an error.
  template <class T>
  Status write_row(size_t row, const PairState& state, const T* reference, const T* model, float reference_target,
                   float model_target, PairResult& result) {
    result = not_a_number();
    if (state.reference > 0.0 && state.model > 0.0) {
      result = finish_pair(state, reference_target, model_target, request_.tokens.temperature);
    } else if (Status status = note_non_finite(row, state, reference, model); !status.ok()) {
      return status;
    }
    write(row, result);
    return {};
  }

  void sort() { std::sort(non_finite_rows_.begin(), non_finite_rows_.end()); }
  const std::vector<int64_t>& non_finite_rows() const { return non_finite_rows_; }

 private:
  static PairResult not_a_number() {
    constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();
    return {kNoNumber, kNoNumber, kNoNumber};
  }

  template <class T>
  Status note_non_finite(size_t row, const PairState& state, const T* reference, const T* model) {
    if (!request_.tokens.propagate_non_finite) {
      const bool is_model = state.reference > 0.0;
      return non_finite_row(is_model ? "model" : "reference", row,
                            describe_non_finite(is_model ? model : reference, request_.vocab));
    }
    std::lock_guard lock(mutex_);
    non_finite_rows_.push_back(static_cast<int64_t>(row));
    return {};
  }

  void write(size_t row, const PairResult& result) const {
    if (request_.token_log_ratio) request_.token_log_ratio[row] = static_cast<float>(result.log_ratio);
    if (request_.token_kl) request_.token_kl[row] = static_cast<float>(result.kl);
    if (request_.token_hellinger) request_.token_hellinger[row] = static_cast<float>(result.hellinger);
  }

  const PairRequest& request_;
  std::mutex mutex_;
  std::vector<int64_t> non_finite_rows_;
};

}  // namespace covn
