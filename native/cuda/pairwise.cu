#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/pairwise.cuh"
#include "cuda/pairwise.hpp"
#include "cuda/slices.hpp"
#include "cuda/upload.hpp"
#include "covn/cuda.hpp"
#include "kernels/tournament_check.hpp"

namespace covn::cuda {

cudaError_t enqueue_pair_counts(const double* log_probs, size_t stride, size_t models, size_t responses,
                                const double* thresholds, size_t threshold_count, uint64_t* counts, uint64_t* bad,
                                size_t first, size_t check_block, cudaStream_t stream) {
  constexpr size_t kMaxGrid = 65535;  // but for its x
  const uint32_t tiles = triangle(pairwise_tiles(static_cast<uint32_t>(models)));
  for (size_t k = 0; k < threshold_count; k += kMaxGrid) {
    for (size_t begin = 0; begin < responses; begin += kMaxGrid * kSegmentResponses) {
      const size_t count = std::min(responses - begin, kMaxGrid * kSegmentResponses);
      const PairwiseSlice slice{log_probs + begin,
                                stride,
                                static_cast<uint32_t>(models),
                                count,
                                thresholds + k,
                                counts + k * models * models,
                                reinterpret_cast<unsigned long long*>(bad),
                                first + begin,
                                static_cast<uint32_t>(check_block)};
      const dim3 grid(tiles, static_cast<unsigned>((count + kSegmentResponses - 1) / kSegmentResponses),
                      static_cast<unsigned>(std::min(threshold_count - k, kMaxGrid)));
      const cudaError_t error = launch(count_pairs_kernel, grid, kPairwiseThreads, 0, stream, slice);
      if (error != cudaSuccess) return error;
    }
  }
  return cudaSuccess;
}

namespace {

constexpr size_t kCopiedCounts = size_t{1} << 20;  // in pinned memory at a time

struct PairwiseSlot : SliceSlot {
  DeviceBuffer<uint64_t> device_bad;
  PinnedBuffer<uint64_t> bad;
};

// Slices are some responses of all models.
class PairwiseCounts final : public SlicedJob<PairwiseJob, PairwiseSlot> {
 public:
  PairwiseCounts(LogProbMatrix log_probs, const std::vector<double>& thresholds, size_t budget)
      : log_probs_(log_probs), thresholds_(thresholds), ascending_(distinct(thresholds)) {
    const size_t fitting = slice_units(budget, log_probs.models * sizeof(double));
    slice_responses_ = std::min(fitting, log_probs.responses);
    // Whole segments, which the last blocks of a slice would otherwise wait for.
    if (slice_responses_ > kSegmentResponses) slice_responses_ -= slice_responses_ % kSegmentResponses;
  }
  ~PairwiseCounts() override { this->close(); }

  size_t chunk_count() const override { return (log_probs_.responses + slice_responses_ - 1) / slice_responses_; }
  const std::vector<uint64_t>& counts() const override { return counts_; }

 protected:
  Status open(PairwiseSlot& slot) override {
    COVN_TRY(open_counts());
    COVN_TRY(slot.open(log_probs_.models * slice_responses_ * sizeof(double)));
    COVN_TRY(slot.bad.allocate(1));
    return slot.device_bad.allocate(1, slot.stream);
  }

  Status begin(size_t slice, PairwiseSlot& slot) override {
    const size_t first = slice * slice_responses_, count = std::min(slice_responses_, log_probs_.responses - first);
    for (size_t model = 0; model < log_probs_.models; model++) {
      slot.stage(log_probs_.row(model) + first, count * sizeof(double), model * count * sizeof(double));
    }
    COVN_TRY(slot.send(log_probs_.models * count * sizeof(double)));
    COVN_TRY(slot.device_bad.fill(0xff, slot.stream));
    const auto* values = reinterpret_cast<const double*>(slot.input.data());
    // Without thresholds there is still something to check.
    const bool none = ascending_.empty();
    COVN_CUDA_TRY(enqueue_pair_counts(values, count, log_probs_.models, count, device_thresholds_.data(),
                                      none ? 1 : ascending_.size(), device_counts_.data(), slot.device_bad.data(),
                                      first, kCheckedResponses, slot.stream),
                  "starting a kernel");
    return slot.device_bad.copy_out(slot.bad.data(), 1, slot.stream);
  }

  Status finish(size_t, PairwiseSlot& slot) override {
    const uint64_t bad = slot.bad[0];
    if (bad != ~uint64_t{0}) this->fail_at(bad, not_log_prob(log_probs_, bad / log_probs_.models));
    return {};
  }

  Status finish_all() override {
    const size_t m = log_probs_.models, matrix = m * m;
    counts_.resize(thresholds_.size() * matrix);
    PinnedBuffer<uint64_t> copied;
    COVN_TRY(copied.allocate(std::min(kCopiedCounts, device_counts_.size())));
    std::vector<uint64_t> all(ascending_.size() * matrix);
    for (size_t at = 0; at < all.size() && !this->cancelled(); at += copied.size()) {
      const size_t count = std::min(copied.size(), all.size() - at);
      COVN_TRY(device_counts_.copy_out(copied.data(), count, stream_, at));
      COVN_TRY(stream_.synchronize());
      std::copy_n(copied.data(), count, all.data() + at);
    }
    for (size_t k = 0; k < thresholds_.size(); k++) {
      const auto place = static_cast<size_t>(std::lower_bound(ascending_.begin(), ascending_.end(), thresholds_[k]) -
                                             ascending_.begin());
      std::copy_n(all.data() + place * matrix, matrix, counts_.data() + k * matrix);
    }
    return {};
  }

 private:
  static std::vector<double> distinct(std::vector<double> thresholds) {
    std::sort(thresholds.begin(), thresholds.end());
    thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
    return thresholds;
  }

  // What both slots add to; made with the first of them.
  Status open_counts() {
    if (device_counts_.size() > 0) return {};
    const size_t matrix = log_probs_.models * log_probs_.models, thresholds = std::max<size_t>(ascending_.size(), 1);
    COVN_TRY(stream_.create());
    COVN_TRY(device_thresholds_.allocate(thresholds, stream_));
    const double one = 1.0;  // where there are none
    COVN_TRY(upload(ascending_.empty() ? &one : ascending_.data(), thresholds, device_thresholds_, stream_));
    COVN_TRY(device_counts_.allocate(thresholds * matrix, stream_));
    COVN_TRY(device_counts_.fill(0, stream_));
    return stream_.synchronize();  // other streams use them
  }

  const LogProbMatrix log_probs_;
  const std::vector<double> thresholds_, ascending_;
  size_t slice_responses_;
  Stream stream_;
  DeviceBuffer<double> device_thresholds_;
  DeviceBuffer<uint64_t> device_counts_;
  std::vector<uint64_t> counts_;
};

}  // namespace

Status make_pairwise_job(LogProbMatrix log_probs, std::vector<double> thresholds, Target,
                         std::unique_ptr<PairwiseJob>& job) {
  COVN_TRY(check_pairwise(log_probs, thresholds));
  size_t budget = 0;
  COVN_TRY(device_budget(budget));
  job = std::make_unique<PairwiseCounts>(log_probs, thresholds, budget);
  return {};
}

}  // namespace covn::cuda
