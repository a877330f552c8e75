// Mean log-prob of responses and its gradient, from how often they take each entry.
#include "core/validation.hpp"
#include "learn/linear_machine.hpp"
#include "learn/walk.hpp"

namespace covn {

Status check_response_view(const ResponseView& responses, const TabularModel& model) {
  if (Status status = check_offsets(responses.offsets, responses.token_count); !status.ok()) return status;
  for (size_t r = 0; r < responses.count(); r++) {
    if (responses.prompts[r] < 0 || static_cast<size_t>(responses.prompts[r]) >= model.prompts()) {
      return expected(Code::range, "a prompt of the model", "prompts[" + std::to_string(r) + "]",
                      std::to_string(responses.prompts[r]));
    }
  }
  return {};
}

Status EntryCounts::add(const ResponseView& responses, const Stop& stop) {
  for (size_t r = 0; r < responses.count(); r++) {
    if (r % 256 == 0 && stop()) return {Code::cancelled, ""};
    Status status = walk(machine_, responses, r, [&](uint64_t state, size_t entry) {
      if (totals_[state]++ == 0.0) states_.push_back(static_cast<uint32_t>(state));
      counts_[entry]++;
    });
    if (!status.ok()) return status;
  }
  return {};
}

namespace {

class GradientJob final : public Job {
 public:
  explicit GradientJob(GradientRequest request) : request_(std::move(request)), machine_(*request_.model->linear()) {}
  size_t chunk_count() const override { return 1; }

 protected:
  void run_chunk(size_t chunk) override {
    const Stop stop = [this] { return cancelled(); };
    EntryCounts counts(machine_);
    if (Status status = counts.add(request_.responses, stop); !status.ok()) return fail(chunk, 0, std::move(status));
    StateRow row(machine_, best_target());
    std::vector<double> pull(padded(machine_.widest())), sum(machine_.features()->width());
    double log_prob = 0.0;
    for (uint32_t state : counts.states()) {
      if (cancelled()) return;
      row.load(state, machine_.theta().data());
      const double total = counts.total(state), *const taken = counts.of(state);
      for (size_t i = 0; i < row.size(); i++) {
        pull[i] = taken[i] - total * row.probabilities()[i];
        if (taken[i] > 0.0) log_prob += taken[i] * row.log_prob(i);
      }
      machine_.features()->add(row.kernels(), row.first(), row.size(), pull.data(), sum.data());
    }
    double finite = log_prob;
    for (double x : sum) finite += 0.0 * x;
    if (!std::isfinite(finite)) {
      return fail(chunk, 0, expected(Code::non_finite, "finite sums", "the gradient", std::to_string(finite)));
    }
    const auto n = static_cast<double>(request_.responses.count());
    *request_.log_prob = log_prob / n;
    for (size_t k = 0; k < machine_.features()->dimension(); k++) request_.gradient[k] = sum[k] / n;
  }

 private:
  const GradientRequest request_;
  const LinearMachine& machine_;
};

}  // namespace

Status make_gradient_job(GradientRequest request, std::unique_ptr<Job>& job) {
  if (Status status = check_response_view(request.responses, *request.model); !status.ok()) return status;
  if (request.responses.count() == 0) return expected(Code::shape, "at least one response", "prompts", "0");
  job = std::make_unique<GradientJob>(std::move(request));
  return {};
}

}  // namespace covn
