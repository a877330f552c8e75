// scoreLogits, scorePair and sampleLogits on logits that lie on the device, more than 2^32 of them.
#include "cuda/sample_logits.hpp"
#include "cuda/score_logits.hpp"
#include "cuda/score_pair.hpp"
#include "test/cuda/gpu_check/large.hpp"
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

using namespace covn::cuda;

// Element 2^32 is in row 65535. Rows begin at every place of 16 bytes.
struct Size {
  size_t rows, vocab;
  Rows checked{};

  explicit Size(const Scale& scale) : rows(scale.pick<size_t>(65'700, 40)), vocab(scale.pick<size_t>(65'537, 1003)) {
    for (const size_t row :
         {size_t{0}, size_t{1}, size_t{17}, size_t{32'768}, size_t{65'534}, size_t{65'535}, size_t{65'536}, rows - 1}) {
      if (row < rows) checked.push_back(static_cast<uint32_t>(row));
    }
  }
  int32_t target(size_t row) const { return static_cast<int32_t>(row * 40'503 % vocab); }
};

// Bits of a bfloat16 of magnitude 1 to 5.6.
COVN_HD inline uint16_t logit_bits(uint64_t index, uint64_t seed) {
  const uint64_t z = mixed_bits(index, seed);
  return static_cast<uint16_t>((0x3f80 + z % 310) | (z >> 40 & 1) << 15);
}
__global__ void fill_logits(uint16_t* logits, size_t count, uint64_t seed) {
  COVN_EACH_PLACE(i, count) logits[i] = logit_bits(i, seed);
}

Status fill(DeviceBuffer<BFloat16>& logits, const Scale& scale, const Size& size, uint64_t seed, cudaStream_t stream) {
  // Kernels read whole 16 bytes.
  COVN_TRY(logits.allocate(size.rows * size.vocab + 8, stream));
  return to_status(launch(fill_logits, fill_grid(scale), dim3(kFillThreads), 0, stream,
                          reinterpret_cast<uint16_t*>(logits.data()), logits.size(), seed),
                   "filling");
}

// The rows that are looked at, made again on the host.
std::vector<BFloat16> checked_logits(const Size& size, uint64_t seed) {
  std::vector<BFloat16> logits;
  for (const uint64_t row : size.checked) {
    for (size_t i = 0; i < size.vocab; i++) logits.push_back({logit_bits(row * size.vocab + i, seed)});
  }
  return logits;
}
std::vector<int32_t> checked_targets(const Size& size) {
  std::vector<int32_t> targets;
  for (const uint32_t row : size.checked) targets.push_back(size.target(row));
  return targets;
}

Status score_large(const Scale& scale, std::vector<Outcome>& outcomes) {
  const Size size(scale);
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<BFloat16> logits;
  DeviceBuffer<int32_t> targets;
  DeviceBuffer<RowPart> workspace;
  DeviceBuffer<RowScore> scores;
  COVN_TRY(fill(logits, scale, size, 1, stream));
  COVN_TRY(targets.allocate(size.rows, stream));
  COVN_TRY(workspace.allocate(score_workspace(DType::bf16, size.rows, size.vocab), stream));
  COVN_TRY(scores.allocate(size.rows, stream));
  std::vector<int32_t> all(size.rows);
  for (size_t row = 0; row < size.rows; row++) all[row] = size.target(row);
  COVN_TRY(targets.copy_in(all.data(), all.size(), stream));
  COVN_CUDA_TRY(enqueue_score(DType::bf16, logits.data(), size.rows, size.vocab, targets.data(), 1.0, workspace.data(),
                              scores.data(), stream),
                "scoring");
  std::vector<RowScore> got(size.rows);
  COVN_TRY(scores.copy_out(got.data(), got.size(), stream));
  COVN_TRY(stream.synchronize());

  const std::vector<BFloat16> rows = checked_logits(size, 1);
  const std::vector<int32_t> wanted = checked_targets(size);
  Scores cpu;
  LogitsRequest request;
  request.logits = rows.data();
  request.logit_count = rows.size();
  request.dtype = DType::bf16;
  request.vocab = size.vocab;
  cpu.want(request.scoring, wanted);
  std::unique_ptr<ScoreJob> job;
  COVN_TRY(covn::make_score_job(std::move(request), job));
  COVN_TRY(run_inline(*job));
  double worst = 0, wrong_ranks = 0;
  for (size_t i = 0; i < size.checked.size(); i++) {
    const RowScore& score = got[size.checked[i]];
    worst = std::fmax(worst, distance(score.token, cpu.sequence[i]));
    wrong_ranks += score.rank != cpu.rank[i];
  }
  outcomes = {{"log-prob", worst, 2e-6}, {"wrong ranks", wrong_ranks, 0}};
  return {};
}

Status pair_large(const Scale& scale, std::vector<Outcome>& outcomes) {
  const Size size(scale);
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<BFloat16> reference, model;
  DeviceBuffer<PairState> states;
  const size_t parts = pair_parts(size.vocab), count = size.checked.size();
  COVN_TRY(fill(reference, scale, size, 1, stream));
  COVN_TRY(fill(model, scale, size, 2, stream));
  COVN_TRY(states.allocate(size.rows * parts, stream));
  COVN_CUDA_TRY(
      enqueue_pair(DType::bf16, reference.data(), model.data(), size.rows, size.vocab, 1.0, states.data(), stream),
      "comparing");
  std::vector<PairState> got(count * parts);
  for (size_t i = 0; i < count; i++) {
    COVN_TRY(states.copy_out(got.data() + i * parts, parts, stream, size.checked[i] * parts));
  }
  COVN_TRY(stream.synchronize());

  const std::vector<BFloat16> a = checked_logits(size, 1), b = checked_logits(size, 2);
  const std::vector<int32_t> targets = checked_targets(size);
  std::vector<double> log_ratio(count), kl(count), hellinger(count);
  PairRequest request;
  request.reference = a.data();
  request.model = b.data();
  request.reference_count = request.model_count = a.size();
  request.dtype = DType::bf16;
  request.vocab = size.vocab;
  request.tokens.targets = targets.data();
  request.tokens.rows = count;
  request.tokens.offsets = one_by_one(count);
  request.tokens.target = best_target();
  request.log_ratio = log_ratio.data();
  request.kl = kl.data();
  request.hellinger = hellinger.data();
  std::unique_ptr<ScoreJob> job;
  COVN_TRY(covn::make_pair_job(std::move(request), job));
  COVN_TRY(run_inline(*job));
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    const PairState state = merge_pair_parts(got.data() + i * parts, parts, 1.0);
    const size_t at = i * size.vocab + static_cast<size_t>(targets[i]);
    const PairResult result = finish_pair(state, to_float(a[at]), to_float(b[at]), 1.0);
    worst = std::fmax(worst, distance(result.log_ratio, log_ratio[i]));
    worst = std::fmax(worst, distance(result.kl, kl[i]));
    worst = std::fmax(worst, distance(result.hellinger, hellinger[i]));
  }
  outcomes = {{"all outputs", worst, 2e-6}};
  return {};
}

Status sample_large(const Scale& scale, std::vector<Outcome>& outcomes) {
  constexpr size_t kSamples = 4;
  constexpr uint64_t kSeed = 7;
  const Size size(scale);
  Stream stream;
  COVN_TRY(stream.create());
  DeviceBuffer<BFloat16> logits;
  DeviceBuffer<uint32_t> words;  // sequences, positions, first samples
  DeviceBuffer<RowPart> row_parts;
  DeviceBuffer<double> prefix;
  DeviceBuffer<DrawnRow> drawn;
  DeviceBuffer<int32_t> tokens;
  DeviceBuffer<uint8_t> open;
  const size_t parts = size.rows * row_cut<BFloat16>(size.vocab).parts, draws = size.rows * kSamples;
  COVN_TRY(fill(logits, scale, size, 1, stream));
  COVN_TRY(words.allocate(3 * size.rows, stream));
  COVN_TRY(row_parts.allocate(parts, stream));
  COVN_TRY(prefix.allocate(parts, stream));
  COVN_TRY(drawn.allocate(size.rows, stream));
  COVN_TRY(tokens.allocate(draws, stream));
  COVN_TRY(open.allocate(draws, stream));
  std::vector<uint32_t> counters = first_rows(size.rows);
  counters.resize(3 * size.rows, 0);
  COVN_TRY(words.copy_in(counters.data(), counters.size(), stream));
  const uint32_t* const positions = words.data() + size.rows;
  const SampleRows<BFloat16> in{logits.data(), size.rows, size.vocab, words.data(), positions, positions + size.rows};
  COVN_CUDA_TRY(enqueue_sample(in, {SampleFilter{}, kSeed, 0, kSamples}, {row_parts.data(), prefix.data()},
                               {drawn.data(), tokens.data(), open.data(), nullptr, nullptr}, stream),
                "drawing");
  std::vector<int32_t> got(draws);
  std::vector<uint8_t> marks(draws);
  COVN_TRY(tokens.copy_out(got.data(), draws, stream));
  COVN_TRY(open.copy_out(marks.data(), draws, stream));
  COVN_TRY(stream.synchronize());

  const std::vector<BFloat16> host = checked_logits(size, 1);
  const std::vector<uint32_t> zeros(size.checked.size(), 0);
  std::vector<int32_t> want(size.checked.size() * kSamples);
  SampleRequest request;
  request.logits = host.data();
  request.logit_count = host.size();
  request.dtype = DType::bf16;
  request.vocab = size.vocab;
  request.rows = size.checked.size();
  request.samples = kSamples;
  request.seed = kSeed;
  request.sequences = size.checked.data();
  request.positions = request.first_samples = zeros.data();
  request.target = best_target();
  request.tokens = want.data();
  std::unique_ptr<Job> job;
  COVN_TRY(covn::make_sample_job(request, job));
  COVN_TRY(run_inline(*job));
  double differing = 0, not_proved = 0;
  for (size_t i = 0; i < want.size(); i++) {
    const size_t at = size.checked[i / kSamples] * kSamples + i % kSamples;
    if (marks[at] == 0) differing += got[at] != want[i];
  }
  for (const uint8_t mark : marks) not_proved += mark / static_cast<double>(draws);
  // Of tokens of probability 1e-4 some hundredths are not proved.
  outcomes = {{"proved tokens that differ", differing, 0}, {"share not proved", not_proved, 0.2}};
  return {};
}

const RegisterLarge score("scoreLogits", 10, score_large), pair("scorePair", 19, pair_large),
    sample("sampleLogits", 10, sample_large);

}  // namespace
}  // namespace covn::gpu_check
