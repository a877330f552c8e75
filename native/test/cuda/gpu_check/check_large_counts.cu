// Pairwise and tail counts of more than 2^32 log-probs that lie on the device. They repeat after 16, so that the counts
// are known.
#include "cuda/pairwise.hpp"
#include "cuda/tail_counts.hpp"
#include "test/cuda/gpu_check/large.hpp"

namespace covn::gpu_check {
namespace {

using namespace covn::cuda;

constexpr size_t kPeriod = 16;

COVN_HD inline double log_prob_of(uint64_t model, uint64_t response) {
  return -0.5 * static_cast<double>((response % kPeriod * (2 * model + 1) + model) % kPeriod);
}
__global__ void fill_log_probs(double* values, size_t models, size_t responses, double sign) {
  for (size_t model = 0; model < models; model++) {
    COVN_EACH_PLACE(i, responses) values[model * responses + i] = sign * log_prob_of(model, i);
  }
}
// How often the r-th number of a period occurs among `count`.
uint64_t times(size_t count, size_t r) { return count / kPeriod + (r < count % kPeriod); }

Status pairs_large(const Scale& scale, std::vector<Outcome>& outcomes) {
  const std::vector<double> thresholds{0.0, 1.0, 3.5};
  const size_t models = 4, responses = scale.pick((size_t{1} << 30) + 4099, size_t{4099}), cells = models * models;
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<double> values, device_thresholds;
  DeviceBuffer<uint64_t> counts, bad;
  COVN_TRY(values.allocate(models * responses, stream));
  COVN_TRY(device_thresholds.allocate(thresholds.size(), stream));
  COVN_TRY(counts.allocate(thresholds.size() * cells, stream));
  COVN_TRY(counts.fill(0, stream));
  COVN_TRY(bad.allocate(1, stream));
  COVN_TRY(bad.fill(0xff, stream));
  COVN_TRY(device_thresholds.copy_in(thresholds.data(), thresholds.size(), stream));
  COVN_CUDA_TRY(
      launch(fill_log_probs, fill_grid(scale), dim3(kFillThreads), 0, stream, values.data(), models, responses, 1.0),
      "filling");
  COVN_CUDA_TRY(enqueue_pair_counts(values.data(), responses, models, responses, device_thresholds.data(),
                                    thresholds.size(), counts.data(), bad.data(), 0, 2048, stream),
                "counting");
  std::vector<uint64_t> got(thresholds.size() * cells);
  uint64_t found_bad = 0;
  COVN_TRY(counts.copy_out(got.data(), got.size(), stream));
  COVN_TRY(bad.copy_out(&found_bad, 1, stream));
  COVN_TRY(stream.synchronize());
  double differing = 0;
  for (size_t at = 0; at < got.size(); at++) {
    const size_t i = at % cells / models, j = at % models;
    uint64_t want = 0;
    for (size_t r = 0; r < kPeriod; r++) {
      want += log_prob_of(j, r) - log_prob_of(i, r) >= thresholds[at / cells] ? times(responses, r) : 0;
    }
    differing += got[at] != want;
  }
  outcomes = {{"counts that differ", differing, 0}, {"found bad", found_bad == ~uint64_t{0} ? 0.0 : 1.0, 0}};
  return {};
}

Status tails_large(const Scale& scale, std::vector<Outcome>& outcomes) {
  const std::vector<double> thresholds{0.0, 0.5, 3.0, 7.5, 8.0};
  const size_t count = scale.pick((size_t{1} << 32) + 4099, size_t{20'011});
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<double> values, device_thresholds;
  DeviceBuffer<TailSums> sums;
  DeviceBuffer<unsigned long long> bad;
  COVN_TRY(values.allocate(count, stream));
  COVN_TRY(device_thresholds.allocate(thresholds.size(), stream));
  COVN_TRY(sums.allocate(thresholds.size(), stream));
  COVN_TRY(sums.fill(0, stream));
  COVN_TRY(bad.allocate(1, stream));
  COVN_TRY(bad.fill(0xff, stream));
  COVN_TRY(device_thresholds.copy_in(thresholds.data(), thresholds.size(), stream));
  COVN_CUDA_TRY(
      launch(fill_log_probs, fill_grid(scale), dim3(kFillThreads), 0, stream, values.data(), size_t{1}, count, -1.0),
      "filling");
  int multiprocessors = 0;
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), "asking");
  COVN_CUDA_TRY(enqueue_tail_counts({values.data(), nullptr, count, device_thresholds.data(),
                                     static_cast<uint32_t>(thresholds.size()), 0, sums.data(), bad.data(), 0},
                                    multiprocessors, stream),
                "counting");
  std::vector<TailSums> got(thresholds.size());
  unsigned long long found_bad = 0;
  COVN_TRY(sums.copy_out(got.data(), got.size(), stream));
  COVN_TRY(bad.copy_out(&found_bad, 1, stream));
  COVN_TRY(stream.synchronize());
  double differing = 0;
  for (size_t k = 0; k < got.size(); k++) {
    uint64_t want = 0;
    for (size_t r = 0; r < kPeriod; r++) want += -log_prob_of(0, r) >= thresholds[k] ? times(count, r) : 0;
    differing += got[k].count != want;
  }
  outcomes = {{"counts that differ", differing, 0}, {"found bad", found_bad == ~0ull ? 0.0 : 1.0, 0}};
  return {};
}

const RegisterLarge pairs("pairwise counts", 34, pairs_large), tails("tail counts", 34, tails_large);

}  // namespace
}  // namespace covn::gpu_check
