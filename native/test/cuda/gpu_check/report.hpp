// What a check says: a line each, and the counts at the end.
#pragma once

#include <cstdio>
#include <string>

namespace covn::gpu_check {

class Report {
 public:
  explicit Report(bool quiet = false) : quiet_(quiet) {}

  // `figure` was measured and is to be at most `bound`; a NaN is not.
  bool at_most(const std::string& name, double figure, double bound) {
    char text[64], limit[64];
    std::snprintf(text, sizeof text, "%.3g", figure);
    std::snprintf(limit, sizeof limit, "at most %.3g", bound);
    return say(name, text, limit, figure <= bound);
  }
  bool holds(const std::string& name, const std::string& figure, const std::string& bound, bool ok) {
    return say(name, figure, bound, ok);
  }
  // Never counted as passed.
  void skip(const std::string& name, const std::string& reason) {
    skipped_++;
    std::printf("%-66s skipped: %s\n", name.c_str(), reason.c_str());
    std::fflush(stdout);
  }

  // The last line; gives the exit status.
  int finish() const {
    if (skipped_ > 0) std::printf("%d skipped\n", skipped_);
    std::printf("%d passed, %d failed\n", passed_, failed_);
    std::fflush(stdout);
    return failed_ == 0 && passed_ > 0 ? 0 : 1;
  }
  int failed() const { return failed_; }
  bool empty() const { return passed_ + failed_ + skipped_ == 0; }

 private:
  bool say(const std::string& name, const std::string& figure, const std::string& bound, bool ok) {
    (ok ? passed_ : failed_)++;
    if (quiet_) return ok;
    std::printf("%-66s %-14s %-22s %s\n", name.c_str(), figure.c_str(), bound.c_str(), ok ? "ok" : "FAILED");
    std::fflush(stdout);
    return ok;
  }

  const bool quiet_;
  int passed_ = 0, failed_ = 0, skipped_ = 0;
};

}  // namespace covn::gpu_check
