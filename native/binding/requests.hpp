// Requests as their headers declare them, out of the objects that the TypeScript face passes. What a request says of
// the instruction set (`target`) is left to the addon that asks: the CUDA addon has none.
#pragma once

#include "binding/exports.hpp"
#include "covn/hidden.hpp"
#include "covn/pair.hpp"
#include "covn/sample.hpp"
#include "covn/tournament.hpp"

namespace covn::binding {

LogitsRequest logits_request(const Arguments& arguments);
HiddenRequest hidden_request(const Arguments& arguments);
PairRequest pair_request(const Arguments& arguments);
SampleRequest sample_request(const Arguments& arguments);
LogProbMatrix log_prob_matrix(const Arguments& arguments);

// Calls one of the functions that check a request and make its job; throws ArgumentError where the request is refused.
template <class JobType, class Make, class... Request>
std::unique_ptr<JobType> made(Make make, Request&&... request) {
  std::unique_ptr<JobType> job;
  if (Status status = make(std::forward<Request>(request)..., job); !status.ok()) throw ArgumentError{status};
  return job;
}

// Starts a job whose outputs are all in the request's arrays.
Napi::Value start_filling(const Napi::CallbackInfo& info, const Arguments& arguments, std::unique_ptr<Job> job);
// The result: the counts as a Float64Array [thresholds, models, models].
Napi::Value start_pairwise(const Napi::CallbackInfo& info, const Arguments& arguments,
                           std::unique_ptr<PairwiseJob> job);

}  // namespace covn::binding
