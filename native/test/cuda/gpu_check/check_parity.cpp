// The device's outputs beside the CPU's.
#include <cmath>

#include "test/cuda/gpu_check/check.hpp"

namespace covn::gpu_check {
double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0.0;
  const double d = std::fabs(a - b);
  return std::isnan(d) ? HUGE_VAL : d;
}

void check_parity(const Operation& operation, Report& report, bool planted) {
  const Rows rows = first_rows(operation.rows);
  const Output got = run(operation, Where::device, rows);
  Output want = run(operation, Where::cpu, rows);
  const std::string name = operation.name + ": ";
  if (!got.status.ok() || !want.status.ok() || got.columns.size() != want.columns.size() || got.columns.empty()) {
    report.holds(name + "runs", got.status.ok() ? want.status.message : got.status.message, "no error", false);
    return;
  }
  if (planted) want.columns.back().values.back() += 1.0;
  for (size_t c = 0; c < got.columns.size(); c++) {
    const Column &device = got.columns[c], &cpu = want.columns[c];
    if (device.values.size() != cpu.values.size() || cpu.values.empty()) {
      report.holds(name + cpu.name, std::to_string(device.values.size()) + " numbers",
                   std::to_string(cpu.values.size()), false);
      continue;
    }
    double worst = 0.0, mean = 0.0;
    size_t differing = 0;
    for (size_t i = 0; i < cpu.values.size(); i++) {
      const double d = distance(device.values[i], cpu.values[i]);
      worst = d > worst ? d : worst;
      mean += (device.values[i] - cpu.values[i]) / static_cast<double>(cpu.values.size());
      differing += d != 0.0;
    }
    if (cpu.bound > 0.0) {
      report.at_most(name + cpu.name, worst, cpu.bound);
      if (cpu.mean_bound > 0.0) {
        // Errors of rows are nearly independent, and have a deviation of at most 2e-7.
        const double chance = 4 * 2e-7 / std::sqrt(static_cast<double>(cpu.values.size()));
        report.at_most(name + cpu.name + ", mean signed", std::fabs(mean), cpu.mean_bound + chance);
      }
    } else {
      report.holds(name + cpu.name, std::to_string(differing) + " differ", "0 of " + std::to_string(cpu.values.size()),
                   differing == 0);
    }
  }
}

}  // namespace covn::gpu_check
