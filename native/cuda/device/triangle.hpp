// The pairs (row, column) with row <= column, numbered column by column.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/device/host_device.hpp"

namespace covn::cuda {

COVN_HD inline uint32_t triangle(uint32_t n) { return n * (n + 1) / 2; }

// Of the p-th of (0, 0), (0, 1), (1, 1), (0, 2), ...
struct PairPlace {
  uint32_t row, column;  // row <= column
};
COVN_HD inline PairPlace triangle_place(uint32_t p) {
  auto column = static_cast<uint32_t>((sqrtf(8.0f * static_cast<float>(p) + 1.0f) - 1.0f) * 0.5f);
  while (triangle(column) > p) column--;
  while (triangle(column + 1) <= p) column++;
  return {p - triangle(column), column};
}

}  // namespace covn::cuda
