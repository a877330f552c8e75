#include "test/cuda/gpu_check/operation.hpp"

#include <algorithm>
#include <numeric>

namespace covn::gpu_check {

Factories all_operations(const Scale& scale) {
  auto registered = OperationRegistry::all();
  std::sort(registered.begin(), registered.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Factories factories;
  for (const auto& [key, make] : registered) {
    for (Factory& factory : make(scale)) factories.push_back(std::move(factory));
  }
  return factories;
}

Output run_to_end(Run run) {
  if (!run.status.ok()) return {run.status, {}};
  Output output;
  output.status = run_inline(*run.job);
  if (output.status.ok()) output.columns = run.collect();
  return output;
}

Output run(const Operation& operation, Where where, const Rows& rows) {
  return run_to_end(operation.start(where, rows));
}

Rows first_rows(size_t count) {
  Rows rows(count);
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

}  // namespace covn::gpu_check
