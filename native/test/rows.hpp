// Rows of logits, and what one reading of them gives, for the tests of the kernels.
#pragma once

#include <vector>

#include "kernels/table.hpp"
#include "test/sampling.hpp"

namespace covn::test {

// What one reading gives of up to kPieceLogits logits, or of a longer row.
template <class T>
RowState read(const KernelTable& table, const std::vector<T>& x, const RowParameters& parameters) {
  RowBatch batch;
  const T* const row = x.data();
  table.rows<T>().accumulate[0][0](&row, 1, x.size(), nullptr, parameters, batch);
  return batch.state(0);
}

template <class T>
std::vector<T> normal_row(size_t vocab, double deviation, double mean, Random& random) {
  std::vector<T> x(vocab);
  for (T& logit : x) logit = narrow<T>(static_cast<float>(mean + deviation * random.normal()));
  return x;
}

}  // namespace covn::test
