// The operations of the other headers on a CUDA device: the same requests, jobs, outputs and errors. `TokenRows::target`
// is ignored. A job runs on one thread at a time, which mostly waits for the device.
#pragma once

#include <memory>

#include "covn/logprob.hpp"

namespace covn::cuda {

Status make_score_job(LogitsRequest request, std::unique_ptr<ScoreJob>& job);

}  // namespace covn::cuda
