// Checks beside those that every operation goes through, and how checks see the device.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "test/cuda/gpu_check/operation.hpp"
#include "test/cuda/gpu_check/report.hpp"

namespace covn::gpu_check {

using Check = std::function<void(const Scale&, Report&)>;
struct RegisterCheck {
  static std::vector<std::pair<std::string, Check>>& all() {
    static std::vector<std::pair<std::string, Check>> list;
    return list;
  }
  // The key orders them, and `--only` chooses by it.
  RegisterCheck(std::string key, Check check) { all().emplace_back(std::move(key), std::move(check)); }
};

// check_operation.cpp
void check_operation(const Operation& operation, const Scale& scale, Report& report);
// How far two results are apart: infinitely, where only one is NaN or infinities differ.
double distance(double a, double b);
// check_parity.cpp: a line for each column; a number of the CPU's is changed before where `planted`.
void check_parity(const Operation& operation, Report& report, bool planted = false);

// device.cu: what this process has of the device, or of the emulated one.
struct DeviceUse {
  size_t device_bytes = 0, pinned_bytes = 0, streams = 0;
};
DeviceUse device_use();
// Free and all memory, bytes.
std::pair<size_t, size_t> device_memory();
// What the emulator has found wrong since it was last asked; empty on a device.
std::vector<std::string> device_findings();
std::string describe_device(const cuda::DeviceInfo& info);
// Leaves about so much memory until it goes.
class Hog {
 public:
  explicit Hog(size_t left);
  ~Hog();
  Hog(const Hog&) = delete;
  Hog& operator=(const Hog&) = delete;
  bool ok() const { return ok_; }

 private:
  std::vector<void*> blocks_;
  bool ok_ = true;
};

// planted.cu: runs a kernel with the bug; gives the exit status.
int run_planted(const std::string& bug);

}  // namespace covn::gpu_check
