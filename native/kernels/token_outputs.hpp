// What becomes of a scored row: the outputs that were asked for, and rows that are not finite.
#pragma once

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "covn/logprob.hpp"
#include "kernels/row_parameters.hpp"

namespace covn {

// Read once, whatever the compiler thinks: the memory may be shared, and change after it was checked.
inline int32_t read_target(const int32_t* target) { return *static_cast<const volatile int32_t*>(target); }

inline Status bad_target(size_t row, int32_t target, size_t vocab) {
  return expected(Code::range, "an integer in [-1, " + std::to_string(vocab - 1) + "]",
                  "targets[" + std::to_string(row) + "]", std::to_string(target));
}

inline Status non_finite_row(const char* name, size_t row, const std::string& found) {
  return expected(Code::non_finite, "logits below +inf, not all of them -inf,",
                  "row " + std::to_string(row) + " of " + name, found);
}

class TokenOutputs {
 public:
  explicit TokenOutputs(const TokenScoring& scoring) : scoring_(scoring) {}

  void write(size_t row, double token, double log_z, double entropy, int32_t rank) const {
    if (scoring_.token) scoring_.token[row] = static_cast<float>(token);
    if (scoring_.log_z) scoring_.log_z[row] = log_z;
    if (scoring_.entropy) scoring_.entropy[row] = static_cast<float>(entropy);
    if (scoring_.rank) scoring_.rank[row] = rank;
  }
  void write_not_scored(size_t row) const { write(row, kNoNumber, kNoNumber, kNoNumber, 0); }

  // The rows that are not scored: those between tokens, which have a `row` each, in order.
  template <class Tokens>
  void write_rows_between(const Tokens& tokens) const {
    size_t row = 0;
    for (const auto& token : tokens) {
      for (; row < token.row; row++) write_not_scored(row);
      row++;
    }
    for (; row < scoring_.rows; row++) write_not_scored(row);
  }

  // Writes rows first .. first + count from entries `at` .. of their batch, output by output; what it writes of rows
  // that are not finite is to be written again.
  void write_rows(size_t first, size_t at, size_t count, const RowBatch& batch, const RowResults& results) const {
    if (scoring_.token) {
      for (size_t i = 0; i < count; i++) scoring_.token[first + i] = static_cast<float>(results.token[at + i]);
    }
    if (scoring_.log_z) {
      for (size_t i = 0; i < count; i++) {
        scoring_.log_z[first + i] =
            static_cast<double>(batch.max[at + i]) / scoring_.temperature + results.log_sum[at + i];
      }
    }
    if (scoring_.entropy) {
      for (size_t i = 0; i < count; i++) scoring_.entropy[first + i] = static_cast<float>(results.entropy[at + i]);
    }
    if (scoring_.rank) {
      for (size_t i = 0; i < count; i++) scoring_.rank[first + i] = static_cast<int32_t>(batch.greater[at + i] + 1);
    }
  }

  // A row with a NaN, a +inf or nothing but -inf: noted where that was asked for, else an error that says what was
  // found.
  template <class Describe>
  Status write_non_finite(size_t row, const char* name, Describe describe) {
    if (!scoring_.propagate_non_finite) return non_finite_row(name, row, describe());
    write_not_scored(row);
    std::lock_guard lock(mutex_);
    non_finite_rows_.push_back(static_cast<int64_t>(row));
    return {};
  }

  void sort() { std::sort(non_finite_rows_.begin(), non_finite_rows_.end()); }
  const std::vector<int64_t>& non_finite_rows() const { return non_finite_rows_; }

 private:
  static constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

  const TokenScoring& scoring_;
  std::mutex mutex_;
  std::vector<int64_t> non_finite_rows_;
};

// What is wrong with a row of logits that has no finite log-sum-exp.
template <class T>
std::string describe_non_finite(const T* x, size_t vocab) {
  for (size_t i = 0; i < vocab; i++) {
    const float value = to_float(x[i]);
    if (value != value) return "NaN at column " + std::to_string(i);
    if (value == std::numeric_limits<float>::infinity()) return "+inf at column " + std::to_string(i);
  }
  return "-inf in every column";
}

// Checks shared by the jobs that score tokens, and those of scoreLogits.
Status check_scoring(const TokenRows& tokens);
Status check_logits(const LogitsRequest& request);

}  // namespace covn
