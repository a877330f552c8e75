// scoreHidden on data that lies on the emulated device already: the job's bits.
#include <cstring>

#include "covn/cuda.hpp"
#include "cuda/emulator/control.hpp"
#include "cuda/memory.hpp"
#include "cuda/score_hidden.hpp"
#include "cuda/stream.hpp"
#include "test/check.hpp"
#include "test/hidden_cases.hpp"

using namespace covn;
using namespace covn::test;
namespace emulator = cuda::emulator;

namespace {

struct Rows {
  std::vector<cuda::HiddenTotal> totals;
  std::vector<float> target_logits;
};

Rows score_on_device(const Case& c) {
  const size_t element = c.dtype == DType::f32 ? 4 : 2;
  Rows r{std::vector<cuda::HiddenTotal>(c.rows), std::vector<float>(c.rows)};
  cuda::Stream stream;
  cuda::DeviceBuffer<unsigned char> hidden, weight, workspace;
  cuda::DeviceBuffer<float> bias, target_logits;
  cuda::DeviceBuffer<int32_t> targets;
  cuda::DeviceBuffer<cuda::HiddenTotal> totals;
  const auto up = [&](auto& buffer, const auto* data, size_t count) {
    CHECK(buffer.allocate(count, stream).ok() && buffer.copy_in(data, count, stream).ok());
  };
  CHECK(stream.create().ok());
  up(hidden, static_cast<const unsigned char*>(c.hidden.data()), c.rows * c.width * element);
  up(weight, static_cast<const unsigned char*>(c.weight.data()), c.vocab * c.width * element);
  up(targets, c.targets.data(), c.rows);
  if (!c.bias.empty()) up(bias, c.bias.data(), c.vocab);
  cuda::HiddenRows in{c.dtype, hidden.data(), weight.data(), c.rows,        c.width,
                      c.vocab, nullptr,       c.softcap,     c.temperature, targets.data()};
  if (!c.bias.empty()) in.bias = bias.data();
  CHECK(workspace.allocate(cuda::hidden_workspace(in), stream).ok());
  CHECK(totals.allocate(c.rows, stream).ok() && target_logits.allocate(c.rows, stream).ok());
  CHECK(cuda::enqueue_hidden(in, workspace.data(), totals.data(), target_logits.data(), stream).ok());
  CHECK(totals.copy_out(r.totals.data(), c.rows, stream).ok());
  CHECK(target_logits.copy_out(r.target_logits.data(), c.rows, stream).ok());
  CHECK(stream.synchronize().ok());
  for (const std::string& finding : emulator::take_findings()) CHECK(finding.empty());
  return r;
}

void check_as_job(const Case& c) {
  const Rows rows = score_on_device(c);
  Result job;
  std::unique_ptr<ScoreJob> made;
  CHECK(cuda::make_hidden_job(make_request(c, false, job), made).ok());
  CHECK(run_inline(*made).ok());
  for (size_t i = 0; i < c.rows; i++) {
    const cuda::HiddenScore score = cuda::finish_hidden_row(rows.totals[i], rows.target_logits[i], c.temperature);
    CHECK(std::memcmp(&score.token, &job.sequence[i], sizeof(double)) == 0);
    CHECK(static_cast<float>(score.entropy) == job.entropy[i]);
    CHECK(static_cast<int32_t>(rows.totals[i].greater) + 1 == job.rank[i]);
  }
}

}  // namespace

COVN_TEST(every_type_gives_the_bits_of_the_job) {
  for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    check_as_job(random_case(dtype, 1, 8, 1, 1.0, 1));
    check_as_job(random_case(dtype, 131, 72, 520, 1.0, 2));
  }
}

COVN_TEST(bias_soft_cap_and_temperature) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    Case c = random_case(dtype, 9, 64, 517, 1.0, 3);
    c.temperature = 0.7;
    c.softcap = 3.0;
    Random random(4);
    for (size_t j = 0; j < c.vocab; j++) c.bias.push_back(static_cast<float>(random.normal()));
    check_as_job(c);
  }
}

COVN_TEST(stripes_of_the_vocabulary_and_batches_of_targets) {
  // 128 tiles a stripe, 4096 targets whose weights lie side by side at a time.
  check_as_job(random_case(DType::f32, 2, 4, 128 * 128 + 130, 1.0, 5));
  check_as_job(random_case(DType::f32, 4100, 4, 3, 1.0, 6));
}

COVN_TEST(rows_that_are_not_aligned_are_refused) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    cuda::HiddenRows in{};
    in.dtype = dtype, in.rows = 1, in.vocab = 1, in.width = dtype == DType::f32 ? 6 : 12;
    CHECK(cuda::enqueue_hidden(in, nullptr, nullptr, nullptr, nullptr).code == Code::shape);
  }
}

int main() { return run_all(); }
