// What make_hidden_job refuses, on whatever device.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "covn/hidden.hpp"
#include "kernels/hidden_rows.hpp"
#include "kernels/token_outputs.hpp"

namespace covn {

inline Status check_hidden_count(size_t count, size_t rows, size_t width, const char* shape, const char* name) {
  if (rows == count / width && count % width == 0) return {};
  return expected(Code::shape, std::string(shape) + " elements", name, std::to_string(count));
}

inline Status check_hidden(const HiddenRequest& request) {
  if (request.width < 1) return expected(Code::range, "an integer >= 1", "width", "0");
  if (request.vocab < 1 || request.vocab > std::numeric_limits<int32_t>::max()) {
    return expected(Code::range, "an integer in [1, 2^31 - 1]", "vocab", std::to_string(request.vocab));
  }
  if (Status status =
          check_hidden_count(request.hidden_count, request.scoring.rows, request.width, "rows * width", "hidden");
      !status.ok()) {
    return status;
  }
  if (Status status = check_hidden_count(request.weight_count, request.vocab, request.width, "vocab * width", "weight");
      !status.ok()) {
    return status;
  }
  if (request.softcap != 0.0 && !(request.softcap >= 1e-6 && request.softcap <= 1e6)) {
    return expected(Code::range, "a number in [1e-6, 1e6]", "softcap", std::to_string(request.softcap));
  }
  return check_scoring(request.scoring);
}

// Rows with a target, in order.
inline Status scored_tokens(const HiddenRequest& request, std::vector<ScoredToken>& tokens) {
  for (size_t row = 0; row < request.scoring.rows; row++) {
    const int32_t target = read_target(request.scoring.targets + row);
    if (target == -1) continue;
    if (target < 0 || static_cast<size_t>(target) >= request.vocab) {
      return bad_target(row, target, request.vocab);
    }
    tokens.push_back({row, static_cast<size_t>(target)});
  }
  return {};
}

}  // namespace covn
