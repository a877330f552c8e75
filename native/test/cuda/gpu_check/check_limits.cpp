// A request that the device has no memory for, and draws of rare tokens.
#include <cmath>

#include "test/cuda/gpu_check/check.hpp"
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

Status count_pairs(size_t models, const std::vector<double>& values, std::vector<uint64_t>& counts) {
  std::unique_ptr<PairwiseJob> job;
  Status status = cuda::make_pairwise_job({values.data(), models, values.size() / models}, {0.0}, best_target(), job);
  if (!status.ok()) return status;
  status = run_inline(*job);
  if (status.ok()) counts = job->counts();
  return status;
}

// 4096 models have 2^24 counts: 128 MiB, where 64 are left.
const RegisterCheck too_large("too large a request", [](const Scale& scale, Report& report) {
  if (scale.small) return report.skip("too large a request", "left to the full run");
  const std::vector<double> few{-1.0, -2.0, -3.0, -1.5}, many(4096, -1.0);
  std::vector<uint64_t> counts;
  if (const Status status = count_pairs(2, few, counts); !status.ok()) {
    report.holds("a request that fits", status.message, "no error", false);
    return;
  }
  const std::vector<uint64_t> want = counts;
  {
    const Hog hog(size_t{64} << 20);
    if (!hog.ok()) return report.skip("too large a request", "the device's memory could not be filled");
    const Status status = count_pairs(4096, many, counts);
    report.holds("too large a request", status.ok() ? "no error" : status.message, "out of memory",
                 status.code == Code::out_of_memory);
    const Status next = count_pairs(2, few, counts);
    report.holds("the next, with little memory", next.ok() ? "no error" : next.message, "the same counts",
                 next.ok() && counts == want);
  }
  const Status next = count_pairs(2, few, counts);
  report.holds("the next, with memory again", next.ok() ? "no error" : next.message, "the same counts",
               next.ok() && counts == want);
});

// 262,144 tokens of e^-20.5 beside one of 1 have 3.28e-4 of all: 32.8 draws of 1e5, 18 to 53 of them in 99.9 of 100
// runs.
const RegisterCheck tails("rare tokens", [](const Scale& scale, Report& report) {
  if (scale.small) return report.skip("rare tokens", "left to the full run");
  constexpr size_t kVocab = 262145, kSamples = 100000, kHead = 100000;
  for (const DType dtype : kDTypes) {
    if (scale.emulated && dtype == DType::f16) continue;
    Numbers logits{dtype, kVocab, std::vector<unsigned char>(kVocab * size_of(dtype))};
    for (size_t i = 0; i < kVocab; i++) logits.set(i, i == kHead ? 0.0f : -20.5f);
    std::vector<int32_t> tokens(kSamples), want(kSamples);
    const uint32_t sequence = 5, position = 6, first = 0;
    SampleRequest request;
    request.logits = logits.bytes.data();
    request.logit_count = kVocab;
    request.dtype = dtype;
    request.vocab = kVocab;
    request.rows = 1;
    request.samples = kSamples;
    request.seed = 0x299f31d0a4093822;
    request.sequences = &sequence;
    request.positions = &position;
    request.first_samples = &first;
    request.target = best_target();
    request.tokens = tokens.data();
    std::unique_ptr<Job> job;
    Status status = cuda::make_sample_job(request, job);
    if (status.ok()) status = run_inline(*job);
    size_t hits = 0, differing = 0;
    for (const int32_t token : tokens) hits += token != static_cast<int32_t>(kHead);
    const std::string name = std::string("rare tokens drawn, ") + name_of(dtype);
    report.holds(name, status.ok() ? std::to_string(hits) : status.message, "18 to 53 of 1e5",
                 status.ok() && hits >= 18 && hits <= 53);
    request.tokens = want.data();
    status = covn::make_sample_job(request, job);
    if (status.ok()) status = run_inline(*job);
    for (size_t i = 0; i < kSamples; i++) differing += tokens[i] != want[i];
    report.holds(name + ": the CPU's", std::to_string(differing) + " differ", "0 of " + std::to_string(kSamples),
                 status.ok() && differing == 0);
  }
});

}  // namespace
}  // namespace covn::gpu_check
