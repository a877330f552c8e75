// What every operation is to hold to besides parity: a row's bits depend on the row alone, jobs share the device, and
// memory is given back however they end.
#include <algorithm>
#include <bit>
#include <cmath>
#include <thread>

#include "test/cuda/gpu_check/check.hpp"

namespace covn::gpu_check {
namespace {

// How many rows of `part`, whose rows are those of `whole` by `rows`, have other bits.
size_t differing_rows(const Output& part, const Output& whole, const Rows& rows, size_t all_rows) {
  if (!part.status.ok() || part.columns.size() != whole.columns.size()) return rows.size();
  size_t differing = 0;
  for (size_t i = 0; i < rows.size(); i++) {
    bool same = true;
    for (size_t c = 0; c < whole.columns.size(); c++) {
      const std::vector<double>&a = part.columns[c].values, &b = whole.columns[c].values;
      const size_t width = b.size() / all_rows;
      same = same && a.size() == rows.size() * width;
      for (size_t k = 0; same && k < width; k++) {
        same = std::bit_cast<uint64_t>(a[i * width + k]) == std::bit_cast<uint64_t>(b[rows[i] * width + k]);
      }
    }
    differing += !same;
  }
  return differing;
}

std::string of(size_t count) { return "0 of " + std::to_string(count); }

void check_batches(const Operation& operation, const Output& whole, Report& report) {
  const std::string name = operation.name + ": ";
  size_t differing = 0, all = 0, largest = 0;
  for (const size_t size : {1, 2, 3, 7, 31, 64, 129, 1000, 4096, 8191}) {
    if (size > operation.rows) break;
    for (const size_t first : {size_t{0}, (operation.rows - size) / 2, operation.rows - size}) {
      Rows rows = first_rows(size);
      for (uint32_t& row : rows) row += static_cast<uint32_t>(first);
      differing += differing_rows(run(operation, Where::device, rows), whole, rows, operation.rows);
      all += size;
    }
    largest = size;
  }
  report.holds(name + "bits in batches of 1 to " + std::to_string(largest), std::to_string(differing) + " differ",
               of(all), differing == 0);
  Rows reversed = first_rows(operation.rows);
  std::reverse(reversed.begin(), reversed.end());
  differing = differing_rows(run(operation, Where::device, reversed), whole, reversed, operation.rows);
  report.holds(name + "bits in reverse order", std::to_string(differing) + " differ", of(operation.rows),
               differing == 0);
}

void check_threads(const Operation& operation, const Output& whole, Report& report) {
  const Rows rows = first_rows(operation.rows);
  Output outputs[2];
  std::vector<std::thread> threads;
  for (Output& output : outputs) {
    threads.emplace_back([&operation, &rows, &output] { output = run(operation, Where::device, rows); });
  }
  for (std::thread& thread : threads) thread.join();
  size_t differing = 0;
  for (const Output& output : outputs) differing += differing_rows(output, whole, rows, operation.rows);
  report.holds(operation.name + ": two jobs at once", std::to_string(differing) + " differ", of(2 * operation.rows),
               differing == 0);
}

double mebibytes(size_t bytes) { return static_cast<double>(bytes) / 1048576.0; }

// What a driver keeps for itself, or another process takes meanwhile.
constexpr double kTolerance = 32.0;  // MiB

class MemoryCheck {
 public:
  void end(const std::string& name, Report& report) const {
    const DeviceUse now = device_use();
    const size_t left = now.device_bytes - std::min(now.device_bytes, before_.device_bytes) + now.pinned_bytes -
                        std::min(now.pinned_bytes, before_.pinned_bytes) + now.streams -
                        std::min(now.streams, before_.streams);
    report.holds(name + ", kept", std::to_string(left), "0 bytes and streams", left == 0);
    report.at_most(name + ", MiB less free", std::fmax(0.0, mebibytes(free_) - mebibytes(device_memory().first)),
                   kTolerance);
  }

 private:
  const DeviceUse before_ = device_use();
  const size_t free_ = device_memory().first;
};

void check_memory(const Operation& operation, const Output& whole, Report& report) {
  const Rows all = first_rows(operation.rows), few = first_rows(std::min<size_t>(operation.rows, 64));
  {
    const MemoryCheck memory;
    bool ok = true;
    for (int i = 0; i < 3; i++) ok = run(operation, Where::device, i == 0 ? all : few).status.ok() && ok;
    if (ok) {
      memory.end(operation.name + ": memory after success", report);
    } else {
      report.holds(operation.name + ": memory after success", "an error", "no error", false);
    }
  }
  const MemoryCheck memory;
  Code code = Code::internal;
  {
    Run run = operation.start(Where::device, all);
    if (run.status.ok()) {
      run.job->run_one_chunk();
      run.job->cancel();
      code = run.job->settle().code;
    }
  }
  report.holds(operation.name + ": cancelled", code == Code::cancelled ? "cancelled" : "not", "cancelled",
               code == Code::cancelled);
  memory.end(operation.name + ": memory after cancelling", report);
  const size_t differing = differing_rows(run(operation, Where::device, all), whole, all, operation.rows);
  report.holds(operation.name + ": bits after cancelling", std::to_string(differing) + " differ", of(operation.rows),
               differing == 0);
}

}  // namespace

void check_operation(const Operation& operation, const Scale& scale, Report& report) {
  check_parity(operation, report);
  if (!operation.all_checks) return;
  const Output whole = run(operation, Where::device, first_rows(operation.rows));
  if (!whole.status.ok()) return;  // said already
  if (operation.row_wise) check_batches(operation, whole, report);
  if (scale.small) return;
  check_threads(operation, whole, report);
  check_memory(operation, whole, report);
}

}  // namespace covn::gpu_check
