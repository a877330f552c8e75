// The outcome of an operation: plain data, so that it crosses threads and the Node boundary unchanged.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace covn {

// One for each stable error code of the public interface, and three that never reach a caller as codes of their own.
enum class Code : uint8_t { ok, shape, dtype, range, non_finite, device, cancelled, out_of_memory, internal };

struct [[nodiscard]] Status {
  Code code = Code::ok;
  // "Expected ‹what› for ‹name› but received ‹value›"; empty when ok.
  std::string message;

  bool ok() const { return code == Code::ok; }
};

inline Status expected(Code code, const std::string& what, const std::string& name, const std::string& received) {
  return {code, "Expected " + what + " for " + name + " but received " + received};
}

}  // namespace covn
