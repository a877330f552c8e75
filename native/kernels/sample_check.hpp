// What drawing from logits refuses, on any device.
#pragma once

#include <string>

#include "core/validation.hpp"
#include "covn/sample.hpp"

namespace covn {

inline Status check_filter(const SampleFilter& filter) {
  if (!(filter.temperature >= 1e-6 && filter.temperature <= 1e6)) {
    return expected(Code::range, "a number in [1e-6, 1e6]", "temperature", std::to_string(filter.temperature));
  }
  if (!(filter.top_p > 0.0 && filter.top_p <= 1.0)) {
    return expected(Code::range, "a number in (0, 1]", "topP", std::to_string(filter.top_p));
  }
  if (!(filter.min_p >= 0.0 && filter.min_p <= 1.0)) {
    return expected(Code::range, "a number in [0, 1]", "minP", std::to_string(filter.min_p));
  }
  return {};
}

inline Status check_samples(const SampleRequest& request) {
  if (request.vocab < 1 || request.vocab > 0x7fffffff) {
    return expected(Code::range, "an integer in [1, 2^31 - 1]", "vocab", std::to_string(request.vocab));
  }
  if (request.samples < 1 || request.samples > 0x7fffffff) {
    return expected(Code::range, "an integer in [1, 2^31 - 1]", "N", std::to_string(request.samples));
  }
  if (request.logit_count % request.vocab != 0 || request.logit_count / request.vocab != request.rows) {
    return expected(Code::shape, "rows * vocab elements", "logits", std::to_string(request.logit_count));
  }
  for (size_t row = 0; row < request.rows; row++) {
    if (uint64_t{request.first_samples[row]} + request.samples > uint64_t{1} << 32) {
      return expected(Code::range, "a first sample with N more below 2^32", "row " + std::to_string(row),
                      std::to_string(request.first_samples[row]));
    }
  }
  if (const TargetSupport support = target_support(request.target); !support.available) {
    return expected(Code::device, "an available device", "device", support.reason);
  }
  return check_filter(request.filter);
}

}  // namespace covn
