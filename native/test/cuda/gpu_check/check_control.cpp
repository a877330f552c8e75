// Whether parity finds one changed number.
#include "test/cuda/gpu_check/check.hpp"

namespace covn::gpu_check {
namespace {

const RegisterCheck control("a changed result", [](const Scale& scale, Report& report) {
  Report inner(true);
  Scale small = scale;
  small.small = true;
  check_parity(all_operations(small).front()(), inner, true);
  report.holds("a changed result is found", std::to_string(inner.failed()) + " failed", "1", inner.failed() == 1);
});

}  // namespace
}  // namespace covn::gpu_check
