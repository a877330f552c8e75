// What the machine itself can do, for rates to be compared with: how fast memory is read, and how fast float
// multiply-adds run. The jobs only do the work, on the same threads as every other job; the caller times them.
#pragma once

#include <cstddef>
#include <memory>

#include "core/cpu.hpp"
#include "covn/job.hpp"

namespace covn {

class MachineJob : public Job {
 public:
  // Bytes that the job reads, or floating-point operations that it carries out (a multiply-add is two).
  virtual double work() const = 0;
};

// Reads values[0 .. count) once and keeps nothing of it; `prefetch`: with software prefetching, which some processors
// need for their full bandwidth and which slows others down. Valid until the job has settled.
Status make_read_job(const float* values, size_t count, bool prefetch, Target target, std::unique_ptr<MachineJob>& job);

// Chunks of one multiply-add job, about a millisecond each.
constexpr size_t kMaxFmaChunks = 100'000;

// `chunks` times a fixed number of multiply-adds in registers, in [1, kMaxFmaChunks].
Status make_fma_job(size_t chunks, Target target, std::unique_ptr<MachineJob>& job);

}  // namespace covn
