// Checks shared by the jobs. The TypeScript face checks first, for the message; these keep memory safe whoever calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "covn/status.hpp"

namespace covn {

// Row ranges of responses: from 0 to `rows`, never falling.
inline Status check_offsets(const std::vector<int64_t>& offsets, size_t rows) {
  if (offsets.empty()) return expected(Code::shape, "at least one element", "offsets", "0");
  if (offsets.front() != 0) return expected(Code::range, "0", "offsets[0]", std::to_string(offsets.front()));
  for (size_t i = 1; i < offsets.size(); i++) {
    if (offsets[i] < offsets[i - 1]) {
      return expected(Code::range, "an offset >= " + std::to_string(offsets[i - 1]),
                      "offsets[" + std::to_string(i) + "]", std::to_string(offsets[i]));
    }
  }
  if (static_cast<uint64_t>(offsets.back()) != rows) {
    return expected(Code::shape, "the number of rows (" + std::to_string(rows) + ")", "the last offset",
                    std::to_string(offsets.back()));
  }
  return {};
}

}  // namespace covn
