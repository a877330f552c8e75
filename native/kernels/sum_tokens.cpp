#include "core/validation.hpp"
#include "covn/logprob.hpp"
#include "kernels/sequence_sum.hpp"

namespace covn {

namespace {

template <class T>
Status sum_all(const T* values, size_t count, const std::vector<int64_t>& offsets, double* out) {
  if (Status status = check_offsets(offsets, count); !status.ok()) return status;
  for (size_t i = 0; i + 1 < offsets.size(); i++) {
    out[i] = sum_response(static_cast<size_t>(offsets[i]), static_cast<size_t>(offsets[i + 1]),
                          [values](size_t row) { return static_cast<double>(values[row]); });
  }
  return {};
}

}  // namespace

Status sum_tokens(const float* values, size_t count, const std::vector<int64_t>& offsets, double* out) {
  return sum_all(values, count, offsets, out);
}
Status sum_tokens(const double* values, size_t count, const std::vector<int64_t>& offsets, double* out) {
  return sum_all(values, count, offsets, out);
}

}  // namespace covn
