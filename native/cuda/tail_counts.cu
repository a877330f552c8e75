#include "cuda/tail_counts.hpp"

#include <algorithm>
#include <cmath>

#include "cuda/slices.hpp"
#include "cuda/upload.hpp"
#include "covn/cuda.hpp"
#include "kernels/tournament_check.hpp"

namespace covn::cuda {

cudaError_t enqueue_tail_counts(const TailInput& in, int multiprocessors, cudaStream_t stream) {
  constexpr uint32_t kMaxGroups = 65535;
  if (in.count == 0) return cudaSuccess;
  const size_t blocks = (in.count + kTailThreads * kTailLoads - 1) / (kTailThreads * kTailLoads);
  const size_t resident = static_cast<size_t>(multiprocessors) * (in.weights == nullptr ? 8 : 4);
  for (uint32_t k = 0; k < in.threshold_count; k += kMaxGroups * kTailGroup) {
    TailInput part = in;
    part.thresholds += k;
    part.sums += k;
    part.threshold_count = std::min(in.threshold_count - k, kMaxGroups * kTailGroup);
    const dim3 grid(static_cast<unsigned>(std::min(blocks, resident)),
                    (part.threshold_count + kTailGroup - 1) / kTailGroup);
    const cudaError_t error = launch(in.weights == nullptr ? count_tails_kernel<false> : count_tails_kernel<true>, grid,
                                     kTailThreads, 0, stream, part);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

namespace {

constexpr size_t kMaxThresholds = size_t{1} << 20;
constexpr size_t kScanned = size_t{1} << 16;  // weights looked at between two looks for a cancellation

std::string number(double x) {
  if (std::isnan(x)) return "NaN";
  if (std::isinf(x)) return x > 0.0 ? "Infinity" : "-Infinity";
  return std::to_string(x);
}

struct TailSlot : SliceSlot {
  DeviceBuffer<unsigned long long> device_bad;
  PinnedBuffer<unsigned long long> bad;
};

class TailCounts final : public SlicedJob<TailCountsJob, TailSlot> {
 public:
  TailCounts(TailCountsRequest request, size_t budget, int multiprocessors)
      : request_(std::move(request)),
        multiprocessors_(multiprocessors),
        unit_bytes_((request_.weights == nullptr ? 1 : 2) * sizeof(double)),
        slice_count_(std::clamp<size_t>(slice_units(budget, unit_bytes_), 1, std::max<size_t>(request_.count, 1))) {}
  ~TailCounts() override { this->close(); }

  size_t chunk_count() const override { return (request_.count + slice_count_ - 1) / slice_count_; }
  const std::vector<uint64_t>& counts() const override { return counts_; }
  const std::vector<double>& weights() const override { return weights_; }

 protected:
  Status open(TailSlot& slot) override {
    COVN_TRY(open_sums());
    COVN_TRY(slot.open(slice_count_ * unit_bytes_));
    COVN_TRY(slot.bad.allocate(1));
    return slot.device_bad.allocate(1, slot.stream);
  }

  Status begin(size_t slice, TailSlot& slot) override {
    slot.bad[0] = ~0ull;
    if (slice == 0 && !find_unit()) return {};
    const size_t first = slice * slice_count_, count = std::min(slice_count_, request_.count - first);
    const size_t bytes = count * sizeof(double);
    slot.stage(request_.log_ratios + first, bytes);
    if (request_.weights != nullptr) slot.stage(request_.weights + first, bytes, bytes);
    COVN_TRY(slot.send(count * unit_bytes_));
    COVN_TRY(slot.device_bad.fill(0xff, slot.stream));
    const auto* values = reinterpret_cast<const double*>(slot.input.data());
    const TailInput in{values,
                       request_.weights == nullptr ? nullptr : values + count,
                       count,
                       device_thresholds_.data(),
                       static_cast<uint32_t>(device_thresholds_.size()),
                       unit_,
                       device_sums_.data(),
                       slot.device_bad.data(),
                       first};
    COVN_CUDA_TRY(enqueue_tail_counts(in, multiprocessors_, slot.stream), "starting a kernel");
    return slot.device_bad.copy_out(slot.bad.data(), 1, slot.stream);
  }

  Status finish(size_t, TailSlot& slot) override {
    const unsigned long long at = slot.bad[0];
    if (at == ~0ull) return {};
    this->fail_at(at, expected(Code::non_finite, "a finite number or +Infinity",
                               "logRatios[" + std::to_string(at) + "]", number(request_.log_ratios[at])));
    return {};
  }

  Status finish_all() override {
    const size_t thresholds = request_.thresholds.size();
    counts_.resize(thresholds);
    if (request_.weights != nullptr) weights_.resize(thresholds);
    if (device_sums_.size() == 0) return {};  // nothing to count
    PinnedBuffer<TailSums> sums;
    COVN_TRY(sums.allocate(device_sums_.size()));
    COVN_TRY(device_sums_.copy_out(sums.data(), sums.size(), stream_));
    COVN_TRY(stream_.synchronize());
    for (size_t k = 0; k < thresholds; k++) {
      counts_[k] = sums[k].count;
      if (request_.weights != nullptr) weights_[k] = from_fixed({sums[k].low, sums[k].high}, unit_);
    }
    return {};
  }

 private:
  // What both slots add to; made with the first of them. Without thresholds there is still something to check.
  Status open_sums() {
    if (device_sums_.size() > 0) return {};
    const size_t thresholds = std::max<size_t>(request_.thresholds.size(), 1);
    COVN_TRY(stream_.create());
    const double none = 0.0;
    COVN_TRY(device_thresholds_.allocate(thresholds, stream_));
    COVN_TRY(upload(request_.thresholds.empty() ? &none : request_.thresholds.data(), thresholds, device_thresholds_,
                    stream_));
    COVN_TRY(device_sums_.allocate(thresholds, stream_));
    COVN_TRY(device_sums_.fill(0, stream_));
    return stream_.synchronize();  // other streams use them
  }

  // The unit of fixed-point weights follows from the largest of all; false where one is no weight, or when cancelled.
  bool find_unit() {
    if (request_.weights == nullptr) return true;
    double largest = 0.0;
    for (size_t begin = 0; begin < request_.count; begin += kScanned) {
      if (this->cancelled()) return false;
      const size_t end = std::min(begin + kScanned, request_.count);
      bool right = true;
      for (size_t i = begin; i < end; i++) {
        const double weight = request_.weights[i];
        right = right && weight >= 0.0;
        largest = weight > largest ? weight : largest;
      }
      if (right && !std::isinf(largest)) continue;
      size_t at = begin;
      while (request_.weights[at] >= 0.0 && !std::isinf(request_.weights[at]) && at + 1 < end) at++;
      this->fail_at(at, expected(Code::range, "a finite number >= 0", "weights[" + std::to_string(at) + "]",
                                 number(request_.weights[at])));
      return false;
    }
    unit_ = fixed_unit(largest > 0.0 ? largest : 1.0, request_.count);
    return true;
  }

  const TailCountsRequest request_;
  const int multiprocessors_;
  const size_t unit_bytes_, slice_count_;
  int unit_ = 0;
  Stream stream_;
  DeviceBuffer<double> device_thresholds_;
  DeviceBuffer<TailSums> device_sums_;
  std::vector<uint64_t> counts_;
  std::vector<double> weights_;
};

}  // namespace

Status make_tail_counts_job(TailCountsRequest request, std::unique_ptr<TailCountsJob>& job) {
  COVN_TRY(check_thresholds(request.thresholds));
  if (request.thresholds.size() > kMaxThresholds) {
    return expected(Code::range, "at most " + std::to_string(kMaxThresholds), "thresholds",
                    std::to_string(request.thresholds.size()));
  }
  size_t budget = 0;
  COVN_TRY(device_budget(budget));
  int device = 0, multiprocessors = 0;
  COVN_CUDA_TRY(cudaGetDevice(&device), "asking for the device");
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device),
                "asking for its multiprocessors");
  job = std::make_unique<TailCounts>(std::move(request), budget, multiprocessors);
  return {};
}

}  // namespace covn::cuda
