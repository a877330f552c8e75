// Checks a CUDA device, or the emulated one: every operation of covn/cuda.hpp beside the CPU's. A line for each check,
// last "N passed, N failed"; exit status 0 where none failed, 2 where nothing could be checked.
//
//   covn_gpu_check [--small] [--only TEXT] [--planted memcheck|racecheck|initcheck|synccheck|wrong-result]
//
// --small: little data, for compute-sanitizer. --only: checks whose name has TEXT in it. --planted: a bug, for whoever
// is to find it.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "test/cuda/gpu_check/check.hpp"

using namespace covn;
using namespace covn::gpu_check;

namespace {

int refuse(const std::string& text) {
  std::fprintf(stderr, "covn_gpu_check: %s\n", text.c_str());
  return 2;
}

bool is_bug(const std::string& name) {
  for (const char* bug : {"memcheck", "racecheck", "initcheck", "synccheck", "wrong-result"}) {
    if (name == bug) return true;
  }
  return false;
}

int run_all(const Scale& scale, const std::string& only) {
  Report report;
  const auto wanted = [&](const std::string& name) { return name.find(only) != std::string::npos; };
  for (const Factory& make : all_operations(scale)) {
    const Operation operation = make();
    if (wanted(operation.name)) check_operation(operation, scale, report);
  }
  auto checks = RegisterCheck::all();
  std::sort(checks.begin(), checks.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [name, check] : checks) {
    if (wanted(name)) check(scale, report);
  }
  if (report.empty()) return refuse("Expected part of a check's name for --only but received " + only);
  if (scale.emulated) {
    const std::vector<std::string> findings = device_findings();
    for (const std::string& finding : findings) std::printf("found: %s\n", finding.c_str());
    report.holds("what the emulator finds", std::to_string(findings.size()), "nothing", findings.empty());
  }
  return report.finish();
}

}  // namespace

int main(int argc, char** argv) {
  Scale scale;
  std::string only, planted;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--small") {
      scale.small = true;
    } else if (word == "--only" && !value.empty()) {
      only = value;
      i++;
    } else if (word == "--planted" && is_bug(value)) {
      planted = value;
      i++;
    } else {
      return refuse(
          "Expected [--small] [--only TEXT] [--planted memcheck|racecheck|initcheck|synccheck|wrong-result] but "
          "received " +
          word + " " + value);
    }
  }
  cuda::DeviceInfo info;
  if (const Status status = cuda::device_info(info); !status.ok()) return refuse(status.message);
  scale.emulated = info.emulated;
  std::printf("%s\n", describe_device(info).c_str());
  if (planted == "wrong-result") {
    scale.small = true;
    Report report;
    check_parity(all_operations(scale).front()(), report, true);
    return report.finish();
  }
  return planted.empty() ? run_all(scale, only) : run_planted(planted);
}
