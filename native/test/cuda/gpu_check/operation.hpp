// An operation of covn/cuda.hpp as the checks see it: something that can be started on the device or on the CPU for
// some of its rows, and whose outputs are columns of numbers. A file operation_*.cpp registers operations; check_*.cpp
// have the checks that all of them go through.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/cpu.hpp"
#include "covn/cuda.hpp"
#include "covn/job.hpp"

namespace covn::gpu_check {

enum class Where : uint8_t { device, cpu };

// Numbers of one kind, as many for each row; whole numbers and floats are doubles exactly.
struct Column {
  std::string name;
  double bound;  // of the difference between the device's and the CPU's; 0: none
  std::vector<double> values;
  double mean_bound = 0.0;  // of the mean signed difference, beyond what chance explains; 0: not looked at
};
template <class T>
Column column(std::string name, double bound, const std::vector<T>& values, double mean_bound = 0.0) {
  return {std::move(name), bound, std::vector<double>(values.begin(), values.end()), mean_bound};
}

struct Output {
  Status status;
  std::vector<Column> columns;
};

// A job and what it reads and writes, which `collect` owns.
struct Run {
  Status status;  // of making the job
  std::shared_ptr<Job> job;
  std::function<std::vector<Column>()> collect;
};

using Rows = std::vector<uint32_t>;

struct Operation {
  std::string name;
  size_t rows = 0;
  // Whether what a row gives depends on that row alone, so that batches and orders are tried.
  bool row_wise = true;
  // Besides parity: batches, two threads, memory, cancellation.
  bool all_checks = true;
  std::function<Run(Where, const Rows&)> start;
};

// How much is done.
struct Scale {
  bool emulated = false;
  bool small = false;  // for tools that make every access slow
  bool tiny() const { return emulated || small; }
  template <class T>
  T pick(T on_device, T otherwise) const {
    return tiny() ? otherwise : on_device;
  }
};

// Operations are made one after another, so that only one has its data in memory.
using Factory = std::function<Operation()>;
using Factories = std::vector<Factory>;
struct OperationRegistry {
  static std::vector<std::pair<std::string, std::function<Factories(const Scale&)>>>& all() {
    static std::vector<std::pair<std::string, std::function<Factories(const Scale&)>>> list;
    return list;
  }
};
// The key orders them.
struct RegisterOperations {
  RegisterOperations(std::string key, std::function<Factories(const Scale&)> make) {
    OperationRegistry::all().emplace_back(std::move(key), std::move(make));
  }
};

Factories all_operations(const Scale& scale);

// Both on this thread.
Output run_to_end(Run run);
Output run(const Operation& operation, Where where, const Rows& rows);
// 0, 1, .. count - 1.
Rows first_rows(size_t count);

}  // namespace covn::gpu_check
