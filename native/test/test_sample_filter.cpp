// Filters of samples against a naive sampler; rows and requests that are refused; cancelling.
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <thread>

#include "test/sampling.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Logits in steps, so that many are equal; 0: as they are.
template <class T>
SampleBatch<T> stepped_batch(size_t rows, size_t vocab, size_t samples, float step, uint64_t seed) {
  SampleBatch<T> batch = random_batch<T>(rows, vocab, samples, 3.0, seed);
  for (T& x : batch.logits) {
    if (step > 0.0f) x = narrow<T>(step * std::round(to_float(x) / step));
  }
  return batch;
}

const SampleFilter kFilters[] = {
    // temperature, top-k, top-p, min-p
    {0.6, 0, 1.0, 0.0},
    {1.7, 0, 1.0, 0.0},
    {1.0, 1, 1.0, 0.0},
    {1.0, 5, 1.0, 0.0},
    {1.0, 50, 1.0, 0.0},
    {1.0, 5000, 1.0, 0.0},
    {1.0, size_t{1} << 40, 1.0, 0.0},
    {1.0, 0, 1e-9, 0.0},
    {1.0, 0, 0.31, 0.0},
    {1.0, 0, 0.95, 0.0},
    {1.0, 0, 0.9999, 0.0},
    {1.0, 0, 1.0, 1e-12},
    {1.0, 0, 1.0, 0.0173},
    {1.0, 0, 1.0, 1.0},
    {0.7, 20, 0.9, 0.0},
    {0.7, 20, 0.8, 0.0123},
    {2.3, 3, 0.97, 0.0123},
    {5.0, 700, 0.99, 1e-5},
    {30.0, 0, 0.9, 0.0},
    {0.01, 0, 0.5, 0.0},
};

template <class T>
void check_filters() {
  struct Shape {
    size_t rows, vocab, samples;
  };
  for (const Shape& s : {Shape{3, 1, 5}, {20, 6, 200}, {10, 100, 500}, {3, 1000, 2000}, {1, 9000, 3000}}) {
    for (float step : {0.0f, 0.5f, 2.0f}) {
      SampleBatch<T> batch = stepped_batch<T>(s.rows, s.vocab, s.samples, step, s.vocab);
      for (const SampleFilter& filter : kFilters) {
        batch.filter = filter;
        const size_t wrong = count_wrong(batch);
        if (wrong > 0) {
          std::printf("    V %zu, step %g, T %g, top-k %zu, top-p %g, min-p %g: %zu wrong\n", s.vocab,
                      static_cast<double>(step), filter.temperature, filter.top_k, filter.top_p, filter.min_p, wrong);
        }
        CHECK(wrong == 0);
      }
    }
  }
}

// The tokens drawn from a row of logits by 20,000 samples.
std::vector<size_t> drawn(std::vector<float> logits, const SampleFilter& filter) {
  const size_t vocab = logits.size(), samples = 20000;
  const SampleBatch<float> batch{std::move(logits), vocab, samples, {1}, {2}, {3}, filter};
  const Samples out = draw(batch, best_target());
  CHECK(out.status.ok());
  std::vector<char> seen(vocab);
  for (int32_t token : out.tokens) seen[static_cast<size_t>(token)] = 1;
  std::vector<size_t> tokens;
  for (size_t i = 0; i < vocab; i++) {
    if (seen[i]) tokens.push_back(i);
  }
  return tokens;
}

using Tokens = std::vector<size_t>;

}  // namespace

COVN_TEST(filters_are_those_of_a_naive_sampler) {
  check_filters<float>();
  check_filters<Float16>();
  check_filters<BFloat16>();
  std::printf("    %zu rows of %zu too close to call\n", close_rows, close_rows + checked_rows);
  CHECK(close_rows * 100 < checked_rows);
}

// By hand; each token kept is missed with probability (1 - p)^20000 < 1e-80.
COVN_TEST(ties_stay_together_and_filters_follow_one_another) {
  const std::vector<float> x = {1, 3, 2, 3, 2, 2, -kInfinity};
  CHECK(drawn(x, {}) == (Tokens{0, 1, 2, 3, 4, 5}));
  CHECK(drawn(x, {1.0, 1, 1.0, 0.0}) == (Tokens{1, 3}));
  CHECK(drawn(x, {1.0, 2, 1.0, 0.0}) == (Tokens{1, 3}));
  CHECK(drawn(x, {1.0, 3, 1.0, 0.0}) == (Tokens{1, 2, 3, 4, 5}));
  CHECK(drawn(x, {1.0, 6, 1.0, 0.0}) == (Tokens{0, 1, 2, 3, 4, 5}));
  CHECK(drawn(x, {1.0, 7, 1.0, 0.0}) == (Tokens{0, 1, 2, 3, 4, 5}));
  // Shares: 2 e^2 of 2 e^2 + 3 e + 1 = 0.618; with those at 2, 0.958.
  CHECK(drawn(x, {1.0, 0, 0.61, 0.0}) == (Tokens{1, 3}));
  CHECK(drawn(x, {1.0, 0, 0.63, 0.0}) == (Tokens{1, 2, 3, 4, 5}));
  CHECK(drawn(x, {1.0, 0, 0.96, 0.0}) == (Tokens{0, 1, 2, 3, 4, 5}));
  CHECK(drawn(x, {1.0, 0, 1.0, 0.36}) == (Tokens{1, 2, 3, 4, 5}));
  CHECK(drawn(x, {1.0, 0, 1.0, 0.37}) == (Tokens{1, 3}));
  // What min-p and top-k leave is what top-p is a share of: 2 e^2 of 2 e^2 + 3 e = 0.644.
  CHECK(drawn(x, {1.0, 0, 0.63, 0.36}) == (Tokens{1, 3}));
  CHECK(drawn(x, {1.0, 0, 0.65, 0.36}) == (Tokens{1, 2, 3, 4, 5}));
  CHECK(drawn(x, {1.0, 4, 0.63, 0.0}) == (Tokens{1, 3}));
  // By the logits over the temperature: e^-2.
  CHECK(drawn(x, {0.5, 0, 1.0, 0.14}) == (Tokens{1, 3}));
  CHECK(drawn(x, {0.5, 0, 1.0, 0.13}) == (Tokens{1, 2, 3, 4, 5}));
}

COVN_TEST(unfiltered_log_probs_do_not_see_the_filter) {
  SampleBatch<float> batch = random_batch<float>(5, 3000, 100, 3.0, 9);
  batch.filter = {0.8, 100, 0.95, 0.001};
  const Samples out = draw(batch, best_target());
  for (size_t row = 0; row < 5; row++) {
    const std::vector<float> x = batch.wide(row);
    const auto plain = reference::sampled_distribution(x.data(), x.size(), 1.0, 0, 1.0, 0.0);
    for (size_t i = 0; i < 100; i++) {
      const size_t at = row * 100 + i;
      const auto want = static_cast<double>(plain.log_prob[static_cast<size_t>(out.tokens[at])]);
      CHECK_AT_MOST(std::fabs(out.log_prob[at] - want), 2e-6);
    }
  }
}

COVN_TEST(outputs_that_are_not_wanted_change_nothing) {
  SampleBatch<float> batch = random_batch<float>(3, 9000, 100, 3.0, 10);
  for (const SampleFilter& filter : {SampleFilter{}, SampleFilter{0.7, 30, 0.9, 0.01}}) {
    batch.filter = filter;
    const Samples whole = draw(batch, best_target());
    for (int wanted = 0; wanted < 4; wanted++) {
      Samples out;
      SampleRequest request = request_of(batch, best_target(), out);
      if (!(wanted & 1)) request.log_prob = nullptr;
      if (!(wanted & 2)) request.sampled_log_prob = nullptr;
      CHECK(run_samples(request).ok() && out.tokens == whole.tokens);
      if (wanted & 1) CHECK(out.log_prob == whole.log_prob);
      if (wanted & 2) CHECK(out.sampled_log_prob == whole.sampled_log_prob);
    }
  }
}

COVN_TEST(the_lowest_row_that_is_not_finite_is_named) {
  ThreadPool pool(2);
  struct Bad {
    float value;
    const char* text;
  };
  for (size_t vocab : {5, 700, 20000}) {
    for (const Bad& bad :
         {Bad{std::nanf(""), "NaN at column "}, {kInfinity, "+inf at column "}, {-kInfinity, "-inf in every column"}}) {
      for (const SampleFilter& filter : {SampleFilter{}, SampleFilter{0.7, 2, 0.9, 0.1}}) {
        SampleBatch<float> batch = random_batch<float>(40, vocab, 3, 1.0, vocab);
        batch.filter = filter;
        for (size_t row : {17, 18, 39}) {
          float* const x = batch.logits.data() + row * vocab;
          if (bad.value == -kInfinity)
            std::fill_n(x, vocab, bad.value);
          else
            x[vocab - 1 - row % 3] = bad.value;
        }
        for (Target target : available_targets()) {
          for (unsigned threads : {1u, 2u}) {
            const Status status = draw(batch, target, &pool, threads).status;
            CHECK(status.code == Code::non_finite);
            CHECK(status.message.find("row 17 ") != std::string::npos);
            CHECK(status.message.find(bad.text) != std::string::npos);
          }
        }
      }
    }
  }
}

COVN_TEST(the_lowest_row_that_is_not_finite_is_named_though_others_have_their_turn_before) {
  SampleBatch<float> batch = random_batch<float>(300, 9001, 1, 1.0, 8);
  for (size_t row : {24, 7, 299}) batch.logits[row * 9001 + 100] = std::nanf("");
  for (Target target : available_targets()) {
    const Status status = draw(batch, target).status;
    CHECK(status.code == Code::non_finite && status.message.find("row 7 ") != std::string::npos);
  }
}

COVN_TEST(bad_requests_are_refused) {
  const SampleBatch<float> batch = random_batch<float>(4, 10, 3, 1.0, 11);
  Samples out;
  const SampleRequest good = request_of(batch, best_target(), out);
  CHECK(run_samples(good).ok());
  const auto code = [&](auto change) {
    SampleRequest request = good;
    change(request);
    std::unique_ptr<Job> job;
    const Status status = make_sample_job(request, job);
    CHECK(status.ok() == (job != nullptr) && status.ok() == status.message.empty());
    return status.code;
  };
  CHECK(code([](SampleRequest& r) { r.logit_count--; }) == Code::shape);
  CHECK(code([](SampleRequest& r) { r.rows++; }) == Code::shape);
  CHECK(code([](SampleRequest& r) { r.vocab = 20; }) == Code::shape);
  for (size_t n : {size_t{0}, size_t{1} << 31}) {
    CHECK(code([n](SampleRequest& r) { r.vocab = n; }) == Code::range);
    CHECK(code([n](SampleRequest& r) { r.samples = n; }) == Code::range);
  }
  for (double x : {0.0, -1.0, 0.9e-6, 1.1e6, std::nan(""), HUGE_VAL}) {
    CHECK(code([x](SampleRequest& r) { r.filter.temperature = x; }) == Code::range);
  }
  for (double x : {0.0, -0.1, 1.0001, std::nan("")}) {
    CHECK(code([x](SampleRequest& r) { r.filter.top_p = x; }) == Code::range);
  }
  for (double x : {-0.1, 1.0001, std::nan("")}) {
    CHECK(code([x](SampleRequest& r) { r.filter.min_p = x; }) == Code::range);
  }
  for (Target target : kTargets) {
    if (!target_support(target).available) CHECK(code([&](SampleRequest& r) { r.target = target; }) == Code::device);
  }
  // Up to the last sample number there is.
  const std::vector<uint32_t> last(4, 0xfffffffdu), over(4, 0xfffffffeu);
  CHECK(code([&](SampleRequest& r) { r.first_samples = over.data(); }) == Code::range);
  SampleBatch<float> at_end = batch;
  at_end.firsts = last;
  CHECK(count_wrong(at_end) == 0);
  // Nothing is no mistake.
  CHECK(code([](SampleRequest& r) { r.rows = r.logit_count = 0; }) == Code::ok);
}

COVN_TEST(a_cancelled_job_stops_soon) {
  ThreadPool pool(2);
  // Many draws from one row, and many rows: each takes a tenth of a second or more.
  for (const auto& [rows, vocab, samples] : {std::array<size_t, 3>{1, 1000, 100'000'000}, {2000, 5000, 50'000}}) {
    SampleBatch<BFloat16> batch = random_batch<BFloat16>(1, vocab, samples, 3.0, 12);
    batch.sequences.resize(rows, 1);
    batch.positions.resize(rows, 2);
    batch.firsts.resize(rows, 3);
    std::vector<BFloat16> row = batch.logits;
    for (size_t i = 1; i < rows; i++) batch.logits.insert(batch.logits.end(), row.begin(), row.end());
    Samples out;
    SampleRequest request = request_of(batch, best_target(), out);
    request.log_prob = request.sampled_log_prob = nullptr;
    std::unique_ptr<Job> made;
    CHECK(make_sample_job(request, made).ok());
    const std::shared_ptr<Job> job = std::move(made);
    std::promise<Status> done;
    std::future<Status> status = done.get_future();
    pool.submit(job, 2, [&done](Status s) { done.set_value(std::move(s)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const auto start = std::chrono::steady_clock::now();
    pool.cancel(*job);
    CHECK(status.get().code == Code::cancelled);
    CHECK_AT_MOST(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 1.0);
  }
}

int main() { return run_all(); }
