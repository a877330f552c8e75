#include "covn/machine.hpp"

#include <algorithm>
#include <atomic>

#include "kernels/table.hpp"

namespace covn {

namespace {

// Of a size at which handing chunks out costs nothing, and pages open in the memory's banks are used up.
constexpr size_t kReadChunk = (size_t{4} << 20) / sizeof(float);
constexpr size_t kFmaSteps = size_t{1} << 18;

class ReadMemory final : public MachineJob {
 public:
  ReadMemory(const float* values, size_t count, ReadValues read) : values_(values), count_(count), read_(read) {}

  size_t chunk_count() const override { return (count_ + kReadChunk - 1) / kReadChunk; }
  double work() const override { return static_cast<double>(count_) * sizeof(float); }

 protected:
  void run_chunk(size_t chunk) override {
    const size_t begin = chunk * kReadChunk;
    read_(values_ + begin, std::min(kReadChunk, count_ - begin));
  }

 private:
  const float* const values_;
  const size_t count_;
  const ReadValues read_;
};

class MultiplyAdd final : public MachineJob {
 public:
  MultiplyAdd(size_t chunks, MultiplyAddChains run) : chunks_(chunks), run_(run) {}

  size_t chunk_count() const override { return chunks_; }
  double work() const override { return static_cast<double>(operations_.load(std::memory_order_relaxed)); }

 protected:
  void run_chunk(size_t) override {
    uint64_t operations = 0;
    run_(kFmaSteps, 0.999f, 1e-3f, operations);
    operations_.fetch_add(operations, std::memory_order_relaxed);
  }

 private:
  const size_t chunks_;
  const MultiplyAddChains run_;
  std::atomic<uint64_t> operations_{0};
};

Status check_target(Target target) {
  const TargetSupport support = target_support(target);
  return support.available ? Status{} : expected(Code::device, "an available device", "device", support.reason);
}

}  // namespace

Status make_read_job(const float* values, size_t count, bool prefetch, Target target,
                     std::unique_ptr<MachineJob>& job) {
  if (count == 0) return expected(Code::shape, "at least one element", "memory", "0");
  if (Status status = check_target(target); !status.ok()) return status;
  const KernelTable& table = kernels_for(target);
  job = std::make_unique<ReadMemory>(values, count, table.read_values[prefetch]);
  return {};
}

Status make_fma_job(size_t chunks, Target target, std::unique_ptr<MachineJob>& job) {
  if (chunks < 1 || chunks > kMaxFmaChunks) {
    return expected(Code::range, "a whole number in [1, " + std::to_string(kMaxFmaChunks) + "]", "chunks",
                    std::to_string(chunks));
  }
  if (Status status = check_target(target); !status.ok()) return status;
  job = std::make_unique<MultiplyAdd>(chunks, kernels_for(target).multiply_add);
  return {};
}

}  // namespace covn
