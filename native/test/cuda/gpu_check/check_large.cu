// Arrays of more than 2^32 elements that lie on the device, through the launch functions.
#include <cmath>
#include <utility>

#include "cuda/device/host_device.hpp"
#include "cuda/memory.hpp"
#include "cuda/pairwise.hpp"
#include "cuda/sample_logits.hpp"
#include "cuda/score_logits.hpp"
#include "cuda/score_pair.hpp"
#include "cuda/stream.hpp"
#include "cuda/tail_counts.hpp"
#include "test/cuda/gpu_check/check.hpp"
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

using namespace covn::cuda;

// 65536 * 65536 is 2^32: the row of that index begins there.
constexpr size_t kRows = 65'700, kVocab = 65'536;
constexpr uint32_t kChecked[] = {0, 1, 32'768, 65'535, 65'536, 65'537, kRows - 1};
constexpr size_t kCheckedCount = sizeof kChecked / sizeof *kChecked;

// Bits of a bfloat16 of magnitude 1 to 5.6.
COVN_HD inline uint16_t logit_bits(uint64_t index, uint64_t seed) {
  uint64_t z = (index + seed) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z ^= z >> 27;
  return static_cast<uint16_t>((0x3f80 + z % 310) | (z >> 40 & 1) << 15);
}
COVN_HD inline int32_t target_of(uint64_t row) { return static_cast<int32_t>(row * 40'503 % kVocab); }
// Log-probs and log ratios that repeat after 16.
COVN_HD inline double log_prob_of(uint64_t model, uint64_t response) {
  return -0.5 * static_cast<double>((response % 16 * (2 * model + 1) + model) % 16);
}

__global__ void fill_logits(uint16_t* logits, size_t count, uint64_t seed) {
  const size_t step = size_t{gridDim.x} * blockDim.x;
  for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) logits[i] = logit_bits(i, seed);
}
__global__ void fill_targets(int32_t* targets, size_t count) {
  const size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) targets[i] = target_of(i);
}
__global__ void fill_log_probs(double* values, size_t models, size_t responses, double sign) {
  const size_t step = size_t{gridDim.x} * blockDim.x;
  for (size_t model = 0; model < models; model++) {
    for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < responses; i += step) {
      values[model * responses + i] = sign * log_prob_of(model, i);
    }
  }
}

Status fill(DeviceBuffer<BFloat16>& logits, uint64_t seed, cudaStream_t stream) {
  COVN_TRY(logits.allocate(kRows * kVocab + 16, stream));
  return to_status(launch(fill_logits, dim3(4096), dim3(256), 0, stream, reinterpret_cast<uint16_t*>(logits.data()),
                          kRows * kVocab, seed),
                   "filling");
}

// The rows that are looked at, made again on the host.
std::vector<BFloat16> checked_logits(uint64_t seed) {
  std::vector<BFloat16> logits;
  for (const uint64_t row : kChecked) {
    for (size_t i = 0; i < kVocab; i++) logits.push_back({logit_bits(row * kVocab + i, seed)});
  }
  return logits;
}
std::vector<int32_t> checked_targets() {
  std::vector<int32_t> targets;
  for (const uint64_t row : kChecked) targets.push_back(target_of(row));
  return targets;
}

void say(Report& report, const std::string& name, const Status& status, double worst, double bound) {
  if (!status.ok()) {
    report.holds(name, status.message, "no error", false);
  } else {
    report.at_most(name, worst, bound);
  }
}

Status score_large(double& worst, double& wrong_ranks) {
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<BFloat16> logits;
  DeviceBuffer<int32_t> targets;
  DeviceBuffer<RowPart> workspace;
  DeviceBuffer<RowScore> scores;
  COVN_TRY(fill(logits, 1, stream));
  COVN_TRY(targets.allocate(kRows, stream));
  COVN_TRY(workspace.allocate(score_workspace(DType::bf16, kRows, kVocab), stream));
  COVN_TRY(scores.allocate(kRows, stream));
  COVN_CUDA_TRY(launch(fill_targets, dim3(kRows / 256 + 1), dim3(256), 0, stream, targets.data(), kRows), "filling");
  COVN_CUDA_TRY(enqueue_score(DType::bf16, logits.data(), kRows, kVocab, targets.data(), 1.0, workspace.data(),
                              scores.data(), stream),
                "scoring");
  std::vector<RowScore> got(kRows);
  COVN_TRY(scores.copy_out(got.data(), kRows, stream));
  COVN_TRY(stream.synchronize());

  const std::vector<BFloat16> rows = checked_logits(1);
  const std::vector<int32_t> wanted = checked_targets();
  Scores cpu;
  LogitsRequest request;
  request.logits = rows.data();
  request.logit_count = rows.size();
  request.dtype = DType::bf16;
  request.vocab = kVocab;
  cpu.want(request.scoring, wanted);
  std::unique_ptr<ScoreJob> job;
  COVN_TRY(covn::make_score_job(std::move(request), job));
  COVN_TRY(run_inline(*job));
  for (size_t i = 0; i < kCheckedCount; i++) {
    worst = std::fmax(worst, std::fabs(got[kChecked[i]].token - cpu.sequence[i]));
    wrong_ranks += got[kChecked[i]].rank != cpu.rank[i];
  }
  return {};
}

Status pair_large(double& worst) {
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<BFloat16> reference, model;
  DeviceBuffer<PairState> states;
  const size_t parts = pair_parts(kVocab);
  COVN_TRY(fill(reference, 1, stream));
  COVN_TRY(fill(model, 2, stream));
  COVN_TRY(states.allocate(kRows * parts, stream));
  COVN_CUDA_TRY(enqueue_pair(DType::bf16, reference.data(), model.data(), kRows, kVocab, 1.0, states.data(), stream),
                "comparing");
  std::vector<PairState> got(kCheckedCount * parts);
  for (size_t i = 0; i < kCheckedCount; i++) {
    COVN_TRY(states.copy_out(got.data() + i * parts, parts, stream, kChecked[i] * parts));
  }
  COVN_TRY(stream.synchronize());

  const std::vector<BFloat16> a = checked_logits(1), b = checked_logits(2);
  const std::vector<int32_t> targets = checked_targets();
  std::vector<double> log_ratio(kCheckedCount), kl(kCheckedCount), hellinger(kCheckedCount);
  PairRequest request;
  request.reference = a.data();
  request.model = b.data();
  request.reference_count = request.model_count = a.size();
  request.dtype = DType::bf16;
  request.vocab = kVocab;
  request.tokens.targets = targets.data();
  request.tokens.rows = kCheckedCount;
  request.tokens.offsets = one_by_one(kCheckedCount);
  request.tokens.target = best_target();
  request.log_ratio = log_ratio.data();
  request.kl = kl.data();
  request.hellinger = hellinger.data();
  std::unique_ptr<ScoreJob> job;
  COVN_TRY(covn::make_pair_job(std::move(request), job));
  COVN_TRY(run_inline(*job));
  for (size_t i = 0; i < kCheckedCount; i++) {
    const PairState state = merge_pair_parts(got.data() + i * parts, parts, 1.0);
    const size_t at = i * kVocab + static_cast<size_t>(targets[i]);
    const PairResult result = finish_pair(state, to_float(a[at]), to_float(b[at]), 1.0);
    worst = std::fmax(worst, std::fabs(result.log_ratio - log_ratio[i]));
    worst = std::fmax(worst, std::fabs(result.kl - kl[i]));
    worst = std::fmax(worst, std::fabs(result.hellinger - hellinger[i]));
  }
  return {};
}

Status sample_large(double& differing, double& open_share) {
  constexpr size_t kSamples = 4;
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<BFloat16> logits;
  DeviceBuffer<uint32_t> words;
  DeviceBuffer<RowPart> row_parts;
  DeviceBuffer<double> prefix;
  DeviceBuffer<DrawnRow> drawn;
  DeviceBuffer<int32_t> tokens;
  DeviceBuffer<uint8_t> open;
  const size_t parts = kRows * row_cut<BFloat16>(kVocab).parts, draws = kRows * kSamples;
  COVN_TRY(fill(logits, 1, stream));
  COVN_TRY(words.allocate(kRows, stream));
  COVN_TRY(row_parts.allocate(parts, stream));
  COVN_TRY(prefix.allocate(parts, stream));
  COVN_TRY(drawn.allocate(kRows, stream));
  COVN_TRY(tokens.allocate(draws, stream));
  COVN_TRY(open.allocate(draws, stream));
  std::vector<uint32_t> zeros(kRows, 0), rows = first_rows(kRows);
  COVN_TRY(words.copy_in(rows.data(), kRows, stream));
  DeviceBuffer<uint32_t> nothing;
  COVN_TRY(nothing.allocate(kRows, stream));
  COVN_TRY(nothing.copy_in(zeros.data(), kRows, stream));
  const SampleRows<BFloat16> in{logits.data(), kRows, kVocab, words.data(), nothing.data(), nothing.data()};
  COVN_CUDA_TRY(enqueue_sample(in, {SampleFilter{}, 7, 0, kSamples}, {row_parts.data(), prefix.data()},
                               {drawn.data(), tokens.data(), open.data(), nullptr, nullptr}, stream),
                "drawing");
  std::vector<int32_t> got(draws);
  std::vector<uint8_t> marks(draws);
  COVN_TRY(tokens.copy_out(got.data(), draws, stream));
  COVN_TRY(open.copy_out(marks.data(), draws, stream));
  COVN_TRY(stream.synchronize());

  const std::vector<BFloat16> host = checked_logits(1);
  const std::vector<uint32_t> sequences(kChecked, kChecked + kCheckedCount), none(kCheckedCount, 0);
  std::vector<int32_t> want(kCheckedCount * kSamples);
  SampleRequest request;
  request.logits = host.data();
  request.logit_count = host.size();
  request.dtype = DType::bf16;
  request.vocab = kVocab;
  request.rows = kCheckedCount;
  request.samples = kSamples;
  request.seed = 7;
  request.sequences = sequences.data();
  request.positions = request.first_samples = none.data();
  request.target = best_target();
  request.tokens = want.data();
  std::unique_ptr<Job> job;
  COVN_TRY(covn::make_sample_job(request, job));
  COVN_TRY(run_inline(*job));
  for (size_t i = 0; i < want.size(); i++) {
    const size_t at = kChecked[i / kSamples] * kSamples + i % kSamples;
    if (marks[at] == 0) differing += got[at] != want[i];
  }
  for (const uint8_t mark : marks) open_share += mark / static_cast<double>(draws);
  return {};
}

Status pairs_large(size_t models, size_t responses, double& differing) {
  const std::vector<double> thresholds{0.0, 1.0, 3.5};
  const size_t cells = models * models;
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<double> values, device_thresholds;
  DeviceBuffer<uint64_t> counts, bad;
  COVN_TRY(values.allocate(models * responses, stream));
  COVN_TRY(device_thresholds.allocate(thresholds.size(), stream));
  COVN_TRY(counts.allocate(thresholds.size() * cells, stream));
  COVN_TRY(counts.fill(0, stream));
  COVN_TRY(bad.allocate(1, stream));
  COVN_TRY(bad.fill(0xff, stream));
  COVN_TRY(device_thresholds.copy_in(thresholds.data(), thresholds.size(), stream));
  COVN_CUDA_TRY(launch(fill_log_probs, dim3(4096), dim3(256), 0, stream, values.data(), models, responses, 1.0),
                "filling");
  COVN_CUDA_TRY(enqueue_pair_counts(values.data(), responses, models, responses, device_thresholds.data(),
                                    thresholds.size(), counts.data(), bad.data(), 0, 2048, stream),
                "counting");
  std::vector<uint64_t> got(thresholds.size() * cells);
  COVN_TRY(counts.copy_out(got.data(), got.size(), stream));
  COVN_TRY(stream.synchronize());
  for (size_t at = 0; at < got.size(); at++) {
    const size_t i = at % cells / models, j = at % models;
    uint64_t want = 0;
    for (size_t r = 0; r < 16; r++) {
      const uint64_t times = responses / 16 + (r < responses % 16);
      want += log_prob_of(j, r) - log_prob_of(i, r) >= thresholds[at / cells] ? times : 0;
    }
    differing += got[at] != want;
  }
  return {};
}

Status tails_large(size_t count, double& differing) {
  const std::vector<double> thresholds{0.0, 0.5, 3.0, 7.5, 8.0};
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<double> values, device_thresholds;
  DeviceBuffer<TailSums> sums;
  DeviceBuffer<unsigned long long> bad;
  COVN_TRY(values.allocate(count, stream));
  COVN_TRY(device_thresholds.allocate(thresholds.size(), stream));
  COVN_TRY(sums.allocate(thresholds.size(), stream));
  COVN_TRY(sums.fill(0, stream));
  COVN_TRY(bad.allocate(1, stream));
  COVN_TRY(bad.fill(0xff, stream));
  COVN_TRY(device_thresholds.copy_in(thresholds.data(), thresholds.size(), stream));
  COVN_CUDA_TRY(launch(fill_log_probs, dim3(4096), dim3(256), 0, stream, values.data(), size_t{1}, count, -1.0),
                "filling");
  int multiprocessors = 0;
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), "asking");
  COVN_CUDA_TRY(enqueue_tail_counts({values.data(), nullptr, count, device_thresholds.data(),
                                     static_cast<uint32_t>(thresholds.size()), 0, sums.data(), bad.data(), 0},
                                    multiprocessors, stream),
                "counting");
  std::vector<TailSums> got(thresholds.size());
  COVN_TRY(sums.copy_out(got.data(), got.size(), stream));
  COVN_TRY(stream.synchronize());
  for (size_t k = 0; k < got.size(); k++) {
    uint64_t want = 0;
    for (size_t r = 0; r < 16; r++) {
      want += -log_prob_of(0, r) >= thresholds[k] ? count / 16 + (r < count % 16) : 0;
    }
    differing += got[k].count != want;
  }
  return {};
}

const RegisterCheck large("elements past 2^32", [](const Scale& scale, Report& report) {
  // Gives whether there is memory for so many GiB.
  const auto fits = [&](const std::string& name, size_t gibibytes) {
    if (scale.emulated || scale.small) {
      report.skip(name, scale.emulated ? "the emulator is too slow" : "left to the full run");
      return false;
    }
    if (device_memory().first >> 30 >= gibibytes) return true;
    report.skip(name, "needs " + std::to_string(gibibytes) + " GiB of free device memory");
    return false;
  };
  const std::string name = "elements past 2^32: ";
  if (fits(name + "scoreLogits", 10)) {
    double worst = 0, ranks = 0;
    const Status status = score_large(worst, ranks);
    say(report, name + "scoreLogits, log-prob", status, worst, 2e-6);
    say(report, name + "scoreLogits, wrong ranks", status, ranks, 0);
  }
  if (fits(name + "scorePair", 19)) {
    double worst = 0;
    const Status status = pair_large(worst);
    say(report, name + "scorePair, all outputs", status, worst, 2e-6);
  }
  if (fits(name + "sampleLogits", 10)) {
    double differing = 0, open = 0;
    const Status status = sample_large(differing, open);
    say(report, name + "sampleLogits, proved tokens that differ", status, differing, 0);
    // Of tokens of probability 1e-4 some hundredths are not proved.
    say(report, name + "sampleLogits, share not proved", status, open, 0.2);
  }
  if (fits(name + "pairwise counts", 34)) {
    double differing = 0;
    const Status status = pairs_large(4, (size_t{1} << 30) + 4099, differing);
    say(report, name + "pairwise counts that differ", status, differing, 0);
  }
  if (fits(name + "tail counts", 34)) {
    double differing = 0;
    const Status status = tails_large((size_t{1} << 32) + 4099, differing);
    say(report, name + "tail counts that differ", status, differing, 0);
  }
});

}  // namespace
}  // namespace covn::gpu_check
