// Tokens drawn from logits: log-probs to the bit as the scores give them, draws as the long double reference inverts
// the distribution function, the same samples whatever the batch and the threads.
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>

#include "covn/logprob.hpp"
#include "reference/sample.hpp"
#include "test/sampling.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kVocabs[] = {1, 7, 15, 16, 17, 1000, 8191, 8192, 8193, 32000, 128256, 300001};

// The score job's token log-probs of sample k of each row.
template <class T>
std::vector<float> scores(const SampleBatch<T>& batch, const std::vector<int32_t>& tokens, size_t k, Target target,
                          double temperature) {
  std::vector<int32_t> targets;
  for (size_t row = 0; row < batch.rows(); row++) targets.push_back(tokens[row * batch.samples + k]);
  std::vector<float> token(batch.rows());
  std::vector<double> sequence(1);
  LogitsRequest request;
  request.logits = batch.logits.data();
  request.logit_count = batch.logits.size();
  request.dtype = kDType<T>;
  request.vocab = batch.vocab;
  request.scoring.targets = targets.data();
  request.scoring.rows = batch.rows();
  request.scoring.offsets = {0, static_cast<int64_t>(batch.rows())};
  request.scoring.temperature = temperature;
  request.scoring.target = target;
  request.scoring.sequence = sequence.data();
  request.scoring.token = token.data();
  std::unique_ptr<ScoreJob> job;
  CHECK(make_score_job(std::move(request), job).ok());
  CHECK(run_inline(*job).ok());
  return token;
}

template <class T>
void check_log_probs(const SampleBatch<T>& batch, Target target) {
  const Samples out = draw(batch, target);
  CHECK(out.status.ok());
  size_t different = 0, far = 0;
  for (size_t k = 0; k < batch.samples; k++) {
    const std::vector<float> want = scores(batch, out.tokens, k, target, 1.0);
    const std::vector<float> sampled = scores(batch, out.tokens, k, target, batch.filter.temperature);
    for (size_t row = 0; row < batch.rows(); row++) {
      const size_t at = row * batch.samples + k;
      different += std::bit_cast<uint32_t>(out.log_prob[at]) != std::bit_cast<uint32_t>(want[row]);
      far += !(std::fabs(out.sampled_log_prob[at] - sampled[row]) <= 1e-6 + 0x1p-23 * std::fabs(sampled[row]));
    }
  }
  if (different + far > 0) {
    std::printf("    %s, V = %zu, T = %g: %zu and %zu differ\n", target_name(target), batch.vocab,
                batch.filter.temperature, different, far);
  }
  CHECK(different == 0 && far == 0);
}

template <class T>
void check_log_probs_of_type() {
  struct Kind {
    double deviation, mean, temperature;
  };
  // Some at places far from 0, some where the row has an origin of its own.
  const Kind kinds[] = {{1.0, 0.0, 1.0}, {5.0, 40.0, 0.7}, {30.0, -70.0, 1.0}, {9.0, 3e4, 1.0}, {2.0, -6e4, 2.5}};
  for (Target target : available_targets()) {
    for (size_t vocab : kVocabs) {
      for (const Kind& kind : kinds) {
        if (vocab > 9000 && kind.deviation > 5.0 && kind.mean != -70.0) continue;  // no new code, only time
        SampleBatch<T> batch = random_batch<T>(vocab > 9000 ? 2 : 70, vocab, 3, kind.deviation, vocab, kind.mean);
        batch.filter.temperature = kind.temperature;
        check_log_probs(batch, target);
      }
    }
  }
}

template <class T>
void check_inversion() {
  for (size_t vocab : kVocabs) {
    for (double deviation : {0.0, 1.0, 5.0}) {
      const size_t rows = vocab > 9000 ? 1 : 5, samples = vocab > 9000 ? 3000 : 1000;
      const SampleBatch<T> batch = random_batch<T>(rows, vocab, samples, deviation, vocab + 100);
      CHECK(count_wrong(batch) == 0);
    }
  }
}

template <class T>
SampleBatch<T> rows_of(const SampleBatch<T>& batch, const std::vector<size_t>& rows) {
  SampleBatch<T> out{{}, batch.vocab, batch.samples, {}, {}, {}, batch.filter, batch.seed};
  for (size_t row : rows) {
    const auto from = batch.logits.begin() + static_cast<ptrdiff_t>(row * batch.vocab);
    out.logits.insert(out.logits.end(), from, from + static_cast<ptrdiff_t>(batch.vocab));
    out.sequences.push_back(batch.sequences[row]);
    out.positions.push_back(batch.positions[row]);
    out.firsts.push_back(batch.firsts[row]);
  }
  return out;
}

bool same_row(const Samples& a, size_t row_a, const Samples& b, size_t row_b, size_t samples) {
  bool same = a.status.ok() && b.status.ok();
  for (size_t i = 0; i < samples && same; i++) {
    const size_t x = row_a * samples + i, y = row_b * samples + i;
    same =
        a.tokens[x] == b.tokens[y] && a.log_prob[x] == b.log_prob[y] && a.sampled_log_prob[x] == b.sampled_log_prob[y];
  }
  return same;
}

}  // namespace

COVN_TEST(log_probs_are_those_of_the_scores) {
  check_log_probs_of_type<float>();
  check_log_probs_of_type<Float16>();
  check_log_probs_of_type<BFloat16>();
}

COVN_TEST(draws_invert_the_distribution_function) {
  check_inversion<float>();
  check_inversion<Float16>();
  check_inversion<BFloat16>();
}

COVN_TEST(uniforms_are_those_of_scalar_philox) {
  for (const auto& [name, table] : runnable_tables()) {
    for (const UniformStream& s : {UniformStream{0, 0, 0, 2}, UniformStream{~uint64_t{0}, ~0u, ~0u, 2},
                                   UniformStream{0x299f31d0a4093822, 12, 345, 2}}) {
      for (uint32_t first : {0u, 5u, 0x7ffffffdu, 0xffffff00u}) {
        for (size_t n : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 255}) {
          std::vector<double> got(n + 1, -1.0);
          table->draw_uniforms(s, first, n, got.data());
          bool same = got[n] == -1.0;
          for (size_t i = 0; i < n; i++) {
            const auto sample = static_cast<uint32_t>(first + i);
            same = same && got[i] == reference::sample_uniform(s.seed, s.sequence, s.position, sample);
          }
          if (!same) std::printf("    %s: first %u, n %zu\n", name.c_str(), first, n);
          CHECK(same);
        }
      }
    }
  }
}

namespace {

// A batch's samples, so many at a time.
template <class T>
Samples draw_in_parts(const SampleBatch<T>& batch, size_t size, Target target) {
  Samples joined;
  request_of(batch, target, joined);
  for (size_t from = 0; from < batch.samples; from += size) {
    SampleBatch<T> part = batch;
    part.samples = std::min(size, batch.samples - from);
    for (uint32_t& first : part.firsts) first += static_cast<uint32_t>(from);
    const Samples out = draw(part, target);
    for (size_t row = 0; row < batch.rows(); row++) {
      const size_t to = row * batch.samples + from, at = row * part.samples;
      std::copy_n(out.tokens.begin() + at, part.samples, joined.tokens.begin() + to);
      std::copy_n(out.log_prob.begin() + at, part.samples, joined.log_prob.begin() + to);
      std::copy_n(out.sampled_log_prob.begin() + at, part.samples, joined.sampled_log_prob.begin() + to);
    }
  }
  return joined;
}

}  // namespace

COVN_TEST(the_same_samples_all_at_once_and_in_parts) {
  struct Shape {
    size_t rows, vocab, samples, part;
  };
  // The last ones pass the draws of a chunk, and of a batch.
  for (const Shape& s : {Shape{3, 1000, 700, 1}, {70, 100, 13, 5}, {2, 20000, 5000, 511}, {1, 50, 300'000, 131'073}}) {
    SampleBatch<float> batch = random_batch<float>(s.rows, s.vocab, s.samples, 3.0, s.vocab);
    for (double top_p : {1.0, 0.9}) {
      batch.filter.top_p = top_p;
      CHECK(draw_in_parts(batch, s.part, best_target()) == draw(batch, best_target()));
    }
  }
}

// Few draws from a row are found one by one, many by way of an index.
COVN_TEST(many_draws_are_those_that_few_at_a_time_give) {
  for (size_t vocab : kVocabs) {
    if (vocab > 130'000) continue;
    for (double deviation : {0.0, 1.0, 4.0, 20.0}) {
      SampleBatch<BFloat16> batch = random_batch<BFloat16>(1, vocab, vocab > 9000 ? 4000 : 2000, deviation, vocab + 7);
      for (const SampleFilter& filter :
           {SampleFilter{}, SampleFilter{0.7, 0, 1.0, 0.0}, SampleFilter{1.0, 0, 0.9, 0.0}}) {
        batch.filter = filter;
        for (Target target : available_targets()) CHECK(draw_in_parts(batch, 63, target) == draw(batch, target));
      }
    }
  }
}

// The few find their piece's sums unneeded, unless what they find there is not certain.
template <class T>
void check_few() {
  for (size_t vocab : {1000, 8192, 20'001, 140'001}) {
    for (double deviation : {0.0, 0.1, 5.0, 30.0}) {
      SampleBatch<T> batch = random_batch<T>(1, vocab, 120, deviation, vocab + 11);
      for (int masked = 0; masked < 2; masked++) {
        for (double temperature : {1.0, 0.7}) {
          batch.filter.temperature = temperature;
          for (Target target : available_targets()) {
            const Samples whole = draw(batch, target);
            for (size_t part : {1, 4, 16}) CHECK(draw_in_parts(batch, part, target) == whole);
          }
        }
        for (size_t i = 0; i < vocab; i++) {
          if (i % 700 < 650) batch.logits[i] = narrow<T>(-kInfinity);  // whole spans of 512 among them
        }
      }
    }
  }
}

COVN_TEST(a_few_draws_are_those_that_many_give) {
  check_few<float>();
  check_few<BFloat16>();
  check_few<Float16>();
}

// Rows that are read together, whose pieces lie far apart: at low temperatures each has an origin of its own.
COVN_TEST(a_few_draws_of_rows_read_together_are_those_of_rows_alone) {
  constexpr size_t kRows = 5, kPiece = 8192;
  for (size_t vocab : {20'001, 40'960, 41'000, 270'376}) {  // whole, with a short rest, in segments
    for (float mean : {-55.7f, -55.0f, 0.0f, 69.5f, 70.0f}) {
      SampleBatch<float> batch = random_batch<float>(kRows, vocab, 32, 0.3, vocab + 5);
      for (size_t i = 0; i < batch.logits.size(); i++) {
        constexpr float kAbove[] = {1.0f, -1.0f, 1.1f, 0.0f, 2.0f};
        batch.logits[i] += mean + kAbove[(i / vocab + i % vocab / kPiece) % 5];
      }
      for (double temperature : {1.0, 0.1, 1e-4}) {
        batch.filter.temperature = temperature;
        for (Target target : available_targets()) {
          const Samples whole = draw(batch, target);
          for (size_t part : {2, 4, 16}) CHECK(draw_in_parts(batch, part, target) == whole);
          // Tokens below e^-25 come once in 10^6 such draws.
          for (float log_prob : whole.sampled_log_prob) CHECK(log_prob > -25.0f);
          const std::vector<float> scored = scores(batch, whole.tokens, 0, target, 1.0);
          for (size_t row = 0; row < kRows; row++) {
            CHECK(whole.log_prob[row * batch.samples] == scored[row]);
            const Samples alone = draw_in_parts(rows_of(batch, {row}), 4, target);
            CHECK(same_row(alone, 0, whole, row, batch.samples));
          }
        }
      }
    }
  }
}

COVN_TEST(the_same_samples_for_any_threads_batches_and_orders) {
  ThreadPool pool(2);
  struct Shape {
    size_t rows, vocab, samples;
  };
  for (const Shape& s :
       {Shape{300, 9, 50}, {90, 500, 20}, {37, 9001, 3}, {263, 9001, 1}, {7, 9001, 40}, {2, 300'001, 7}}) {
    SampleBatch<BFloat16> batch = random_batch<BFloat16>(s.rows, s.vocab, s.samples, 3.0, s.vocab);
    for (const SampleFilter& filter : {SampleFilter{}, SampleFilter{0.8, 40, 0.95, 0.001}}) {
      batch.filter = filter;
      for (Target target : available_targets()) {
        const Samples whole = draw(batch, target);
        for (unsigned threads : {1u, 2u}) CHECK(draw(batch, target, &pool, threads) == whole);
        std::vector<size_t> order(s.rows);
        std::iota(order.begin(), order.end(), size_t{0});
        Random random(7);
        for (size_t i = s.rows - 1; i > 0; i--) std::swap(order[i], order[random.bits() % (i + 1)]);
        const size_t half = s.rows / 3 + 1;
        for (const auto& [from, to] : {std::pair{size_t{0}, s.rows}, {size_t{0}, half}, {half, s.rows}}) {
          const std::vector<size_t> rows(order.begin() + static_cast<ptrdiff_t>(from),
                                         order.begin() + static_cast<ptrdiff_t>(to));
          const Samples out = draw(rows_of(batch, rows), target);
          for (size_t i = 0; i < rows.size(); i++) CHECK(same_row(out, i, whole, rows[i], s.samples));
        }
      }
    }
  }
}

// Whose places lie too far apart for some to be read together with their groups' sums, by what the row before says.
SampleBatch<float> rows_of_many_places(size_t rows, size_t vocab, size_t samples) {
  constexpr float kMeans[] = {0.0f, 1.0f, 60.0f, -1.0f, -80.0f, -80.0f, 0.0f};
  SampleBatch<float> batch = random_batch<float>(rows, vocab, samples, 2.0, vocab + samples);
  for (size_t i = 0; i < batch.logits.size(); i++) {
    const size_t row = i / vocab;
    batch.logits[i] = row % 5 == 3 && i % 3 == 0 ? -kInfinity : batch.logits[i] + kMeans[row % 7];
  }
  return batch;
}

// What a thread learns of rows that it has drawn from is handed on to those that another chunk draws from.
COVN_TEST(many_samples_of_rows_are_the_same_whatever_rows_came_before) {
  ThreadPool pool(3);
  constexpr size_t kRows = 40;
  for (const auto& [vocab, samples] : {std::pair{9001, 2500}, {20'001, 400}, {32'768, 20}}) {
    SampleBatch<float> batch = rows_of_many_places(kRows, static_cast<size_t>(vocab), static_cast<size_t>(samples));
    for (double temperature : {1.0, 0.1}) {
      batch.filter.temperature = temperature;
      for (Target target : available_targets()) {
        const Samples whole = draw(batch, target);
        for (unsigned threads : {2u, 3u}) CHECK(draw(batch, target, &pool, threads) == whole);
        for (size_t row = 0; row < kRows; row++) {
          CHECK(same_row(draw(rows_of(batch, {row}), target), 0, whole, row, batch.samples));
        }
      }
    }
  }
}

COVN_TEST(logits_of_minus_infinity_are_never_drawn) {
  Random random(3);
  for (size_t vocab : {2, 17, 500, 8193, 40000}) {
    for (size_t finite : {size_t{1}, vocab / 2}) {
      SampleBatch<float> batch = random_batch<float>(3, vocab, 3000, 2.0, vocab + finite);
      std::vector<float> kept = batch.logits;
      std::fill(batch.logits.begin(), batch.logits.end(), -kInfinity);
      for (size_t row = 0; row < 3; row++) {
        // One token: the first, the last, any.
        const size_t only = row == 0 ? 0 : row == 1 ? vocab - 1 : random.bits() % vocab;
        batch.logits[row * vocab + only] = kept[row * vocab + only];
        for (size_t i = 1; i < finite; i++) {
          const size_t at = row * vocab + random.bits() % vocab;
          batch.logits[at] = kept[at];
        }
      }
      for (const SampleFilter& filter : {SampleFilter{}, SampleFilter{1.3, 0, 1.0, 1e-9}}) {
        batch.filter = filter;
        CHECK(count_wrong(batch) == 0);
      }
    }
  }
}

int main() { return run_all(); }
