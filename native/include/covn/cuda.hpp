// The operations of the other headers on a CUDA device: the same requests, jobs, outputs and errors.
// `TokenRows::target` is ignored. A job runs on one thread at a time, which mostly waits for the device.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "covn/best_of_n.hpp"
#include "covn/hidden.hpp"
#include "covn/logprob.hpp"
#include "covn/pair.hpp"
#include "covn/sample.hpp"
#include "covn/tail_counts.hpp"
#include "covn/tournament.hpp"

namespace covn::cuda {

// The device that calls run on: the first that CUDA shows (CUDA_VISIBLE_DEVICES chooses).
struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  size_t memory = 0;         // bytes
  int driver = 0;            // 1000 * major + 10 * minor: the newest CUDA that the driver can run
  int runtime = 0;           // the CUDA that the backend was built with, likewise
  bool emulated = false;     // no device at all: the same code on this processor, for tests
};

// The least compute capability that kernels are compiled for.
constexpr int kLeastMajor = 8;

// Code::device, with the reason, where there is none, its driver is too old, or it is older than kLeastMajor.
Status device_info(DeviceInfo& info);

// Wakes the device for this process, which takes some hundred milliseconds once, and notes how much memory it has free
// for the next job that is made: the other functions here would ask when they are called, and wait for that.
Status make_open_job(std::unique_ptr<Job>& job);

Status make_score_job(LogitsRequest request, std::unique_ptr<ScoreJob>& job);

// Logits of 16-bit numbers are summed by tensor cores in float, those of floats as on the CPU, to the bit. The weights
// stay on the device where they fit, else they come through it once for every 65536 rows.
Status make_hidden_job(HiddenRequest request, std::unique_ptr<ScoreJob>& job);

Status make_pair_job(PairRequest request, std::unique_ptr<ScoreJob>& job);

// The same tokens as the CPU's best target gives: draws that its rounding could decide are left to it. Log-probs are
// those of this header's make_score_job. A whole row is to fit the device.
Status make_sample_job(const SampleRequest& request, std::unique_ptr<Job>& job);

// The target is ignored.
Status make_pairwise_job(LogProbMatrix log_probs, std::vector<double> thresholds, Target target,
                         std::unique_ptr<PairwiseJob>& job);

Status make_tail_counts_job(TailCountsRequest request, std::unique_ptr<TailCountsJob>& job);

// Of tabular and of linear models, whose tables are made on the host. The same successes, rewards and responses as on
// the CPU, to the bit, and sums to rounding.
Status make_best_of_n_job(BestOfNRequest request, std::unique_ptr<Job>& job);

}  // namespace covn::cuda
