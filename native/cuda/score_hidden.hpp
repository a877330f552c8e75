// make_hidden_job with what it takes from the device set by the caller: for tests.
#pragma once

#include "covn/hidden.hpp"
#include "cuda/hidden_options.hpp"

namespace covn::cuda {

Status make_hidden_job(HiddenRequest request, const HiddenOptions& options, std::unique_ptr<ScoreJob>& job);

}  // namespace covn::cuda
