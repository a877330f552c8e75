// Maximum likelihood, Eq. 2.
#pragma once

#include <memory>

#include "covn/fit.hpp"

namespace covn {

// More would make matrices of the second derivatives too large.
constexpr size_t kMaxMleDimension = 2048;

Status make_mle_job(FitRequest request, std::unique_ptr<Job>& job);

}  // namespace covn
