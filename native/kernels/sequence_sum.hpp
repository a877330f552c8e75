// Sums of token log-probs over one response: in double, in blocks of fixed size from the response's first row, merged
// in order. The order depends on nothing but the response, so the bits do not change with threads or batch; the error
// for a million tokens is about 1e-9 nats.
#pragma once

#include <cstddef>

namespace covn {

constexpr size_t kSumBlock = 1024;

// `value(i)` for i in [begin, end).
template <class Value>
double sum_response(size_t begin, size_t end, Value value) {
  double total = 0.0;
  for (size_t start = begin; start < end; start += kSumBlock) {
    const size_t stop = end - start < kSumBlock ? end : start + kSumBlock;
    double block = 0.0;
    for (size_t i = start; i < stop; i++) block += value(i);
    total += block;
  }
  return total;
}

}  // namespace covn
