// scoreHidden with more than 2^32 weights, and more than 2^32 logits, that lie on the device.
#include <algorithm>
#include <bit>

#include "cuda/score_hidden.hpp"
#include "test/cuda/gpu_check/large.hpp"
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

using namespace covn::cuda;

constexpr float kLift = 12.0f;

// Entries of the vocabulary repeat after `period`, which divides no power of two: a reference in double needs that many
// logits, and whoever loses the upper bits of a place finds other weights there. A bias of kLift is on the entries
// that begin past 2^32, so that they decide the sum.
struct Size {
  size_t rows, width, vocab, lifted, period;

  explicit Size(const Scale& scale)
      : rows(scale.pick<size_t>(8192, 140)),
        width(scale.pick<size_t>(4096, 64)),
        vocab(scale.pick<size_t>((size_t{1} << 20) + 301, 1101)),
        lifted(scale.pick<size_t>(size_t{1} << 20, 1000)),
        period(scale.pick<size_t>(1021, 37)) {}
  float bias(size_t entry) const { return entry >= lifted ? kLift : 0.0f; }
  // Entries from both ends, most of them lifted.
  int32_t target(size_t row) const {
    return static_cast<int32_t>(row % 4 == 3 ? row % lifted : vocab - 1 - row % (vocab - lifted));
  }
};

// Bits of a bfloat16 of magnitude 2^exponent to twice that.
COVN_HD inline uint16_t number_bits(uint64_t index, uint64_t seed, int exponent) {
  const uint64_t z = mixed_bits(index, seed);
  return static_cast<uint16_t>((z & 0x7f) | static_cast<uint64_t>(127 + exponent) << 7 | (z >> 40 & 1) << 15);
}
constexpr uint64_t kHiddenSeed = 3, kWeightSeed = 4;
constexpr int kHiddenExponent = 0;

// Of magnitudes such that logits have a deviation of about 2.
int weight_exponent(const Size& size) { return -std::bit_width(size.width) / 2; }

// values [count], that repeat after `period`.
__global__ void fill_numbers(uint16_t* values, size_t count, size_t period, uint64_t seed, int exponent) {
  COVN_EACH_PLACE(i, count) values[i] = number_bits(i % period, seed, exponent);
}
__global__ void fill_bias(float* bias, size_t count, size_t lifted) {
  COVN_EACH_PLACE(i, count) bias[i] = i >= lifted ? kLift : 0.0f;
}

std::vector<float> numbers(size_t first, size_t count, uint64_t seed, int exponent) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; i++) values[i] = to_float(BFloat16{number_bits(first + i, seed, exponent)});
  return values;
}

struct Expected {
  double token;
  uint64_t least_rank, greatest_rank;  // logits that lie nearer than `near` to the target's may count or not
};
Expected expected(const Size& size, size_t row, const std::vector<float>& weight, double near) {
  const std::vector<float> hidden = numbers(row * size.width, size.width, kHiddenSeed, kHiddenExponent);
  std::vector<double> logits(size.period, 0.0);
  for (size_t i = 0; i < weight.size(); i++) {
    logits[i / size.width] += static_cast<double>(hidden[i % size.width]) * weight[i];
  }
  const auto logit = [&](size_t entry) { return logits[entry % size.period] + size.bias(entry); };
  const auto target = static_cast<size_t>(size.target(row));
  Expected result{0, 1, 1};
  double sum = 0;
  // Entries of one residue and one bias have one logit.
  for (const size_t begin : {size_t{0}, size.lifted}) {
    const size_t end = begin == 0 ? size.lifted : size.vocab;
    for (size_t entry = begin; entry < std::min(begin + size.period, end); entry++) {
      const size_t count = (end - entry + size.period - 1) / size.period;
      const double above = logit(entry) - logit(target);
      const bool same = entry % size.period == target % size.period && size.bias(entry) == size.bias(target);
      sum += static_cast<double>(count) * std::exp(above);
      if (above > near) result.least_rank += count;
      if (above > -near && !same) result.greatest_rank += count;
    }
  }
  result.token = -std::log(sum);
  return result;
}

Status hidden_large(const Scale& scale, std::vector<Outcome>& outcomes) {
  const Size size(scale);
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<uint16_t> hidden, weight;
  DeviceBuffer<float> bias, target_logits;
  DeviceBuffer<int32_t> targets;
  DeviceBuffer<HiddenTotal> totals;
  DeviceBuffer<unsigned char> workspace;
  COVN_TRY(hidden.allocate(size.rows * size.width, stream));
  COVN_TRY(weight.allocate(size.vocab * size.width, stream));
  COVN_TRY(bias.allocate(size.vocab, stream));
  COVN_TRY(targets.allocate(size.rows, stream));
  COVN_TRY(target_logits.allocate(size.rows, stream));
  COVN_TRY(totals.allocate(size.rows, stream));
  const auto fill = [&](auto kernel, auto... arguments) {
    return to_status(launch(kernel, fill_grid(scale), dim3(kFillThreads), 0, stream, arguments...), "filling");
  };
  COVN_TRY(fill(fill_numbers, hidden.data(), hidden.size(), hidden.size(), kHiddenSeed, kHiddenExponent));
  COVN_TRY(
      fill(fill_numbers, weight.data(), weight.size(), size.period * size.width, kWeightSeed, weight_exponent(size)));
  COVN_TRY(fill(fill_bias, bias.data(), bias.size(), size.lifted));
  std::vector<int32_t> all(size.rows);
  for (size_t row = 0; row < size.rows; row++) all[row] = size.target(row);
  COVN_TRY(targets.copy_in(all.data(), all.size(), stream));
  const HiddenRows in{DType::bf16, hidden.data(), weight.data(), size.rows, size.width,
                      size.vocab,  bias.data(),   0.0,           1.0,       targets.data()};
  COVN_TRY(workspace.allocate(hidden_workspace(in), stream));
  COVN_TRY(enqueue_hidden(in, workspace.data(), totals.data(), target_logits.data(), stream));
  std::vector<HiddenTotal> got(size.rows);
  std::vector<float> got_targets(size.rows);
  COVN_TRY(totals.copy_out(got.data(), got.size(), stream));
  COVN_TRY(target_logits.copy_out(got_targets.data(), got_targets.size(), stream));
  COVN_TRY(stream.synchronize());

  // How tensor cores round sums is not specified: were each of width / 16 steps to cut off 2^-23 of a logit of 16, a
  // logit would be 5e-4 off.
  const double bound = scale.emulated ? 2e-5 : 5e-4;
  const std::vector<float> period = numbers(0, size.period * size.width, kWeightSeed, weight_exponent(size));
  double worst = 0, wrong_ranks = 0;
  for (const size_t row : {size_t{0}, size_t{1}, size_t{3}, size_t{127}, size_t{128}, size.rows / 2, size.rows - 1}) {
    const Expected want = expected(size, row, period, bound);
    const HiddenScore score = finish_hidden_row(got[row], got_targets[row], 1.0);
    const uint64_t rank = uint64_t{got[row].greater} + 1;
    worst = std::fmax(worst, distance(score.token, want.token));
    wrong_ranks += rank < want.least_rank || rank > want.greatest_rank;
  }
  outcomes = {{"log-prob", worst, bound}, {"wrong ranks", wrong_ranks, 0}};
  return {};
}

const RegisterLarge hidden("scoreHidden", 10, hidden_large);

}  // namespace
}  // namespace covn::gpu_check
