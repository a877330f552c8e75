// Rules that take one step after another. What a step adds up is cut into blocks of states, always the same ones, which
// any number of threads may work on; the last to finish takes the step.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <new>
#include <numeric>

#include "core/philox.hpp"
#include "learn/batch.hpp"
#include "learn/mle.hpp"
#include "learn/token_path.hpp"
#include "learn/update.hpp"

namespace covn {

namespace {

constexpr uint32_t kOrderStream = 7;             // fourth word of the Philox counter
constexpr double kBlockWork = double{1u << 17};  // products of features
constexpr double kChunkWork = double{1u << 22};
constexpr size_t kMaxChunks = 2000;

class FitJob final : public Job {
 public:
  explicit FitJob(FitRequest request)
      : request_(std::move(request)),
        machine_(*request_.model->linear()),
        features_(*machine_.features()),
        steps_(fit_steps(request_)),
        state_work_(std::max(1.0, static_cast<double>(features_.products()) / static_cast<double>(machine_.states()))),
        block_states_(static_cast<size_t>(std::max(1.0, block_work(features_.width()) / state_work_))),
        update_(request_, features_.dimension()),
        theta_(machine_.theta()),
        average_(features_.width()),
        gradient_(features_.width()),
        batch_(machine_),
        order_(request_.data.count()) {
    const double tokens = static_cast<double>(request_.data.token_count) * static_cast<double>(request_.passes);
    const double work = tokens * (state_work_ + 256.0);
    const double limit = std::min(static_cast<double>(kMaxChunks), static_cast<double>(steps_));
    chunks_ = static_cast<size_t>(std::clamp(work / kChunkWork, 1.0, std::max(1.0, limit)));
  }

  size_t chunk_count() const override { return chunks_; }
  // As many as a step has blocks.
  size_t thread_limit() const override {
    if (request_.rule == Rule::token_sgd) return 1;
    size_t longest = 0;
    for (size_t r = 0; r < request_.data.count(); r++) longest = std::max(longest, request_.data.length(r));
    const size_t responses = std::min(request_.batch, request_.data.count());
    return (std::min(machine_.states(), responses * longest) + block_states_ - 1) / block_states_;
  }

 protected:
  void run_chunk(size_t chunk) override {
    StateRow row(machine_, best_target());
    TokenPath path(machine_, request_.step_size, request_.projection);
    std::vector<double> pull(padded(machine_.widest()));
    std::unique_lock lock(mutex_);
    if (!begun_) {
      if (Status status = begin(row); !status.ok()) return fail(chunk, 0, std::move(status));
      begun_ = true;
    }
    const uint64_t until = steps_ * (chunk + 1) / chunks_;
    while (step_ < until && failure_.ok() && !cancelled()) {
      if (request_.rule == Rule::token_sgd) {
        walk_path(path);
        if (!cancelled()) end_step(row);
        continue;
      }
      if (next_block_ == blocks_) {
        // Others are at the last blocks of this step.
        changed_.wait_for(lock, std::chrono::milliseconds(5));
        continue;
      }
      const size_t block = next_block_++;
      lock.unlock();
      add_block(block, row, pull.data());
      lock.lock();
      if (++done_blocks_ < blocks_) continue;
      try {
        take_step();
        end_step(row);
      } catch (const std::bad_alloc&) {
        // Those who wait for the next step have to learn of it.
        failure_ = {Code::out_of_memory, "Out of memory in a native job"};
      }
      changed_.notify_all();
    }
    if (!failure_.ok()) fail(chunk, 0, failure_);
  }

  Status merge() override {
    const size_t d = features_.dimension();
    std::copy_n(theta_.data(), d, request_.theta);
    for (size_t k = 0; k < d; k++) request_.average[k] = average_[k] / static_cast<double>(steps_);
    return {};
  }

 private:
  Status begin(StateRow& row) {
    const Stop stop = [this] { return cancelled(); };
    const bool in_order = request_.rule == Rule::token_sgd || request_.rule == Rule::truncated_sgd;
    if (request_.teacher) {
      if (Status status = machine_of(*request_.teacher).prepare_log_probs(stop); !status.ok()) return status;
    }
    if (Status status = walked_.walk_all(machine_, request_.data, in_order, stop); !status.ok()) return status;
    project(request_.projection, features_.dimension(), theta_.data());
    note_checkpoint();
    next_batch(row);
    return {};
  }

  // So much that a block's own sums, of the width of theta, are a small part of it.
  static double block_work(size_t width) { return std::max(kBlockWork, 16.0 * static_cast<double>(width)); }

  // Chooses the responses of the next step, and what of it any thread may do.
  void next_batch(StateRow& row) {
    const size_t n = order_.size();
    if (at_ == n || step_ == 0) start_pass();
    count_ = std::min(request_.batch, n - at_);
    if (request_.rule == Rule::token_sgd) return;
    batch_.gather(walked_, &order_[at_], count_);
    if (request_.rule == Rule::truncated_sgd) truncate(row);
    // A step of no tokens has a block too.
    blocks_ = std::max<size_t>(1, (batch_.slots() + block_states_ - 1) / block_states_);
    sums_.assign(blocks_ * features_.width(), 0.0);
    next_block_ = done_blocks_ = 0;
  }

  // Fisher & Yates, by draws that depend on the pass alone.
  void start_pass() {
    at_ = 0;
    std::iota(order_.begin(), order_.end(), 0u);
    if (!request_.shuffle) return;
    const auto pass = static_cast<uint32_t>(pass_++);
    for (size_t i = order_.size(); i-- > 1;) {
      const PhiloxCounter words = philox4x32({static_cast<uint32_t>(i), pass, 0, kOrderStream}, request_.seed);
      std::swap(order_[i], order_[bounded(uint64_t{words[1]} << 32 | words[0], i + 1)]);
    }
  }

  // eps_h = KL(pi_D || pi_theta) at each prefix, one for each state.
  void truncate(StateRow& row) {
    const std::vector<double>& teacher = machine_of(*request_.teacher).log_probs();
    epsilon_.resize(batch_.slots());
    for (size_t slot = 0; slot < batch_.slots(); slot++) {
      row.load(batch_.state(slot), theta_.data());
      double kl = 0.0;
      for (size_t i = 0; i < row.size(); i++) {
        const double log_p = teacher[row.first() + i], p = std::exp(log_p);
        if (p > 0.0) kl += p * (log_p - row.log_prob(i));
      }
      epsilon_[slot] = std::max(0.0, kl);
    }
    batch_.truncate(epsilon_, request_.budget);
  }

  void add_block(size_t block, StateRow& row, double* pull) {
    double* const sum = &sums_[block * features_.width()];
    const size_t end = std::min(batch_.slots(), (block + 1) * block_states_);
    for (size_t slot = block * block_states_; slot < end; slot++) {
      row.load(batch_.state(slot), theta_.data());
      batch_.pull_of(slot, row, pull);
      features_.add(row.kernels(), row.first(), row.size(), pull, sum);
    }
  }

  void take_step() {
    const size_t width = features_.width();
    std::fill(gradient_.begin(), gradient_.end(), 0.0);
    for (size_t block = 0; block < blocks_; block++) {
      for (size_t k = 0; k < width; k++) gradient_[k] += sums_[block * width + k];
    }
    for (double& x : gradient_) x /= static_cast<double>(count_);
    batch_.sum_log_probs(request_.log_probs + seen_);
    for (size_t k = 0; k < width; k++) average_[k] += theta_[k];
    update_.apply(gradient_.data(), theta_.data());
    project(request_.projection, features_.dimension(), theta_.data());
  }

  // A response at a time: a step for each of its tokens.
  void walk_path(TokenPath& path) {
    for (size_t k = 0; k < features_.width(); k++) average_[k] += theta_[k];
    const uint32_t r = order_[at_];
    double sum = 0.0;
    for (auto i = static_cast<size_t>(request_.data.offsets[r]); i < static_cast<size_t>(request_.data.offsets[r + 1]);
         i++) {
      if (i % 4096 == 0 && cancelled()) return;
      path.load(walked_.states[i], theta_.data());
      sum += path.step(walked_.entries[i], theta_.data());
    }
    request_.log_probs[seen_] = sum;
  }

  void end_step(StateRow& row) {
    step_++;
    seen_ += count_;
    at_ += count_;
    for (size_t k = 0; k < features_.dimension(); k++) {
      if (std::isfinite(theta_[k])) continue;
      failure_ =
          expected(Code::non_finite, "finite parameters",
                   "theta[" + std::to_string(k) + "] after step " + std::to_string(step_), std::to_string(theta_[k]));
      return;
    }
    note_checkpoint();
    if (step_ < steps_) next_batch(row);
  }

  void note_checkpoint() {
    if (made_ == request_.checkpoints.size() || request_.checkpoints[made_] != step_) return;
    std::copy_n(theta_.data(), features_.dimension(), request_.thetas + made_ * features_.dimension());
    std::atomic_ref<int32_t>(*request_.made).store(static_cast<int32_t>(++made_), std::memory_order_release);
  }

  const FitRequest request_;
  const LinearMachine& machine_;
  const FeatureTable& features_;
  const uint64_t steps_;
  const double state_work_;
  const size_t block_states_;
  size_t chunks_ = 1;

  std::mutex mutex_;
  std::condition_variable changed_;
  Status failure_;
  bool begun_ = false;
  uint64_t step_ = 0;
  size_t pass_ = 0, at_ = 0, count_ = 0, seen_ = 0,
         made_ = 0;  // of responses in this pass, the batch, all; checkpoints
  size_t blocks_ = 0, next_block_ = 0, done_blocks_ = 0;
  Update update_;
  std::vector<double> theta_, average_, gradient_, sums_, epsilon_;
  Batch batch_;
  WalkedResponses walked_;
  std::vector<uint32_t> order_;
};

Status check_numbers(const FitRequest& r) {
  const bool mle = r.rule == Rule::mle;
  const auto refuse = [](const char* what, const char* name, double x) {
    return expected(Code::range, what, name, std::to_string(x));
  };
  if (!mle && !(r.step_size > 0.0 && std::isfinite(r.step_size)))
    return refuse("a number > 0", "stepSize", r.step_size);
  if (r.batch < 1) return refuse("an integer >= 1", "batch", 0.0);
  if (r.passes < 1 || r.passes > (1u << 30))
    return refuse("an integer in [1, 2^30]", "passes", static_cast<double>(r.passes));
  if (r.passes * static_cast<double>(r.data.count()) > 0x1p31)
    return refuse("at most 2^31 responses over all", "passes", static_cast<double>(r.passes));
  if (!(r.lambda >= 0.0)) return refuse("a number >= 0", "lambda", r.lambda);
  if (!(r.beta1 >= 0.0 && r.beta1 < 1.0)) return refuse("a number in [0, 1)", "beta1", r.beta1);
  if (!(r.beta2 >= 0.0 && r.beta2 < 1.0)) return refuse("a number in [0, 1)", "beta2", r.beta2);
  if (!(r.epsilon > 0.0)) return refuse("a number > 0", "epsilon", r.epsilon);
  if (!(r.budget >= 0.0)) return refuse("a number >= 0", "A", r.budget);
  if (r.data.token_count > 0xf0000000u)
    return refuse("fewer than 2^32", "the number of tokens", static_cast<double>(r.data.token_count));
  return {};
}

}  // namespace

uint64_t fit_steps(const FitRequest& request) {
  const uint64_t n = request.data.count();
  return request.passes * ((n + request.batch - 1) / request.batch);
}

Status check_projection(const Projection& projection, size_t dimension) {
  if (projection.kind == Projection::Kind::ball && !(projection.radius > 0.0)) {
    return expected(Code::range, "a number > 0", "projection.ball", std::to_string(projection.radius));
  }
  if (projection.kind != Projection::Kind::box) return {};
  if (projection.lower.size() != dimension || projection.upper.size() != dimension) {
    return expected(Code::shape, std::to_string(dimension) + " elements", "projection.box", "others");
  }
  for (size_t k = 0; k < dimension; k++) {
    if (!(projection.lower[k] <= projection.upper[k])) {
      return expected(Code::range, "lower bounds up to the upper ones", "projection.box",
                      std::to_string(projection.lower[k]));
    }
  }
  return {};
}

Status make_fit_job(FitRequest request, std::unique_ptr<Job>& job) {
  if (Status status = check_response_view(request.data, *request.model); !status.ok()) return status;
  if (request.data.count() == 0) return expected(Code::shape, "at least one response", "prompts", "0");
  if (Status status = check_numbers(request); !status.ok()) return status;
  const size_t dimension = request.model->linear()->features()->dimension();
  if (Status status = check_projection(request.projection, dimension); !status.ok()) return status;
  if (request.rule == Rule::mle) return make_mle_job(std::move(request), job);
  for (size_t i = 0; i < request.checkpoints.size(); i++) {
    const uint64_t step = request.checkpoints[i];
    if (step > fit_steps(request) || (i > 0 && step <= request.checkpoints[i - 1])) {
      return expected(Code::range, "ascending steps up to " + std::to_string(fit_steps(request)),
                      "checkpoints[" + std::to_string(i) + "]", std::to_string(step));
    }
  }
  if (request.rule == Rule::token_sgd && request.batch != 1)
    return expected(Code::range, "1 (with token-sgd)", "batch", std::to_string(request.batch));
  if (request.rule == Rule::truncated_sgd) {
    if (!request.teacher) return expected(Code::dtype, "a model", "teacher", "none");
    if (Status status = check_same_machine(*request.teacher, *request.model); !status.ok()) return status;
  }
  job = std::make_unique<FitJob>(std::move(request));
  return {};
}

}  // namespace covn
