// The exact distribution of log ratios: that of each state's ratios so far, step by step, equal ones merged.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "learn/exact.hpp"
#include "model/tabular_machine.hpp"

namespace covn {

namespace {

using Ratios = std::vector<LogRatio>;

// Sums of the same terms in another order differ by rounding alone.
constexpr double kTolerance = 1e-9;

bool merges(double a, double b) { return a == b || b - a <= kTolerance * std::max(1.0, std::fabs(a)); }

// By ascending value; the mean of those that are equal.
void merge_equal(Ratios& ratios) {
  std::sort(ratios.begin(), ratios.end(), [](const LogRatio& a, const LogRatio& b) {
    return a.value != b.value ? a.value < b.value : a.weight < b.weight;
  });
  size_t kept = 0;
  double first = 0.0;
  for (const LogRatio& ratio : ratios) {
    if (kept == 0 || !merges(first, ratio.value)) {
      ratios[kept++] = ratio;
      first = ratio.value;
      continue;
    }
    LogRatio& last = ratios[kept - 1];
    last.weight += ratio.weight;
    if (ratio.value != last.value) last.value += (ratio.value - last.value) * (ratio.weight / last.weight);
  }
  ratios.resize(kept);
}

void append(Ratios& to, const Ratios& from, double value, double weight) {
  for (const LogRatio& ratio : from) {
    if (ratio.weight * weight > 0.0) to.push_back({ratio.value + value, ratio.weight * weight});
  }
}

// Tokens of a state with the same log ratio.
struct Step {
  double value, log_p;
};

// The sum of n independent steps: how often each is taken is multinomial, listed as a chain of binomials, those of
// small probability first, so that what is negligible is left out early.
class Repeated {
 public:
  Repeated(std::vector<Step> steps, size_t n, const Stop& stop) : steps_(std::move(steps)), log_factorials_(n + 1) {
    std::sort(steps_.begin(), steps_.end(), [](const Step& a, const Step& b) { return a.log_p < b.log_p; });
    // Of this step and all after it.
    log_rests_.resize(steps_.size());
    double rest = 0.0;
    for (size_t k = steps_.size(); k-- > 0;) {
      rest += std::exp(steps_[k].log_p);
      log_rests_[k] = std::log(rest);
    }
    long double sum = 0.0L;
    for (size_t k = 1; k <= n; k++) {
      if (k % 65536 == 0 && stop()) return;
      sum += std::log(static_cast<long double>(k));
      log_factorials_[k] = static_cast<double>(sum);
    }
  }
  // False where there are too many. What is listed when `stop` says so means nothing.
  bool list(Ratios& ratios, const Stop& stop) const {
    const size_t n = log_factorials_.size() - 1;
    std::vector<Partial> now{{n, 0.0, log_factorials_[n]}}, then;
    for (size_t k = 0; k + 1 < steps_.size() && !now.empty(); k++) {
      then.clear();
      for (size_t i = 0; i < now.size(); i++) {
        if ((k + i) % 256 == 0 && stop()) return true;
        take(k, now[i], then, ratios);
        if (ratios.size() + then.size() > 4 * kMaxLogRatios) return false;
      }
      now.swap(then);
    }
    for (const Partial& partial : now) {
      const auto left = static_cast<double>(partial.left);
      const double all = partial.log_weight + left * steps_.back().log_p - log_factorials_[partial.left];
      if (all > kNegligible)
        ratios.push_back({partial.value + times(partial.left, steps_.back().value), std::exp(all)});
    }
    return true;
  }

 private:
  static constexpr double kNegligible = -745.0;  // e^-745 is 0

  // Some of the n steps, of the first few kinds.
  struct Partial {
    size_t left;
    double value, log_weight;
  };

  // How often the next kind is taken: what is not negligible lies around the mode.
  void take(size_t k, const Partial& partial, std::vector<Partial>& then, Ratios& ratios) const {
    const size_t left = partial.left;
    const auto add = [&](size_t n) {
      const double taken = partial.log_weight + static_cast<double>(n) * steps_[k].log_p - log_factorials_[n];
      const double bound = taken + static_cast<double>(left - n) * log_rests_[k + 1] - log_factorials_[left - n];
      if (!(bound > kNegligible)) return false;
      const double value = partial.value + times(n, steps_[k].value);
      if (n == left) {
        ratios.push_back({value, std::exp(taken)});
      } else {
        then.push_back({left - n, value, taken});
      }
      return true;
    };
    const double share = std::exp(steps_[k].log_p - log_rests_[k]);
    const size_t mode = std::min(left, static_cast<size_t>(share * (static_cast<double>(left) + 1.0)));
    for (size_t n = mode; n <= left && add(n); n++) {
    }
    for (size_t n = mode; n-- > 0 && add(n);) {
    }
  }
  static double times(size_t n, double value) { return n == 0 ? 0.0 : static_cast<double>(n) * value; }

  std::vector<Step> steps_;
  std::vector<double> log_factorials_, log_rests_;
};

class LogRatios final : public LogRatioJob {
 public:
  explicit LogRatios(ExactRequest request)
      : request_(std::move(request)),
        reference_(machine_of(*request_.reference)),
        model_(machine_of(*request_.model)),
        ratios_(request_.prompts.size()) {}

  size_t chunk_count() const override { return ratios_.size(); }
  const std::vector<Ratios>& ratios() const override { return ratios_; }

 protected:
  void run_chunk(size_t chunk) override {
    const Stop stop = [this] { return cancelled(); };
    Status status = reference_.prepare_log_probs(stop);
    if (status.ok()) status = model_.prepare_log_probs(stop);
    if (status.ok()) status = distribution(request_.prompts[chunk], ratios_[chunk]);
    if (!status.ok()) fail(chunk, 0, std::move(status));
  }

 private:
  Status distribution(size_t prompt, Ratios& ended) const {
    const size_t max_length = request_.max_length;
    std::map<uint64_t, Ratios> now, then;  // of the responses in each state
    now[reference_.start(prompt)] = {{0.0, 1.0}};
    for (size_t step = 0; !now.empty(); step++) {
      if (max_length == 0 && step >= reference_.states()) return has_loop(prompt);
      if (cancelled()) return {Code::cancelled, ""};
      for (auto& [state, ratios] : now) {
        merge_equal(ratios);
        if (ratios.size() > kMaxLogRatios) return too_many(prompt);
        const bool last = max_length > 0 && (step == max_length || repeats(state));
        const bool fits = last ? finish(state, ratios, max_length - step, ended) : advance(state, ratios, then, ended);
        if (!fits) return too_many(prompt);
      }
      if (ended.size() > 4 * kMaxLogRatios) merge_equal(ended);
      now.swap(then);
      then.clear();
    }
    merge_equal(ended);
    if (ended.size() > kMaxLogRatios) return too_many(prompt);
    double total = 0.0;
    for (const LogRatio& ratio : ended) total += ratio.weight;
    for (LogRatio& ratio : ended) ratio.weight /= total;
    return {};
  }

  bool advance(uint64_t state, const Ratios& ratios, std::map<uint64_t, Ratios>& then, Ratios& ended) const {
    const size_t first = reference_.first_entry(state), end = first + reference_.entries_of(state);
    for (size_t e = first; e < end; e++) {
      const double log_p = reference_.log_probs()[e], p = std::exp(log_p);
      if (p == 0.0) continue;
      const uint64_t next = reference_.next_of(e);
      Ratios& to = next == reference_.states() ? ended : then[next];
      append(to, ratios, log_p - model_.log_probs()[e], p);
      if (to.size() > 8 * kMaxLogRatios) return false;
    }
    return true;
  }

  // Whether every token leads back to the state.
  bool repeats(uint64_t state) const {
    const size_t first = reference_.first_entry(state), end = first + reference_.entries_of(state);
    for (size_t e = first; e < end; e++) {
      if (std::exp(reference_.log_probs()[e]) > 0.0 && reference_.next_of(e) != state) return false;
    }
    return true;
  }

  // Responses that take `left` more tokens, each back to their state.
  bool finish(uint64_t state, const Ratios& ratios, size_t left, Ratios& ended) const {
    if (left == 0) {
      append(ended, ratios, 0.0, 1.0);
      return true;
    }
    Ratios steps, sums;
    const size_t first = reference_.first_entry(state), end = first + reference_.entries_of(state);
    for (size_t e = first; e < end; e++) {
      const double log_p = reference_.log_probs()[e], p = std::exp(log_p);
      if (p > 0.0) steps.push_back({log_p - model_.log_probs()[e], p});
    }
    merge_equal(steps);
    std::vector<Step> distinct;
    for (const LogRatio& step : steps) distinct.push_back({step.value, std::log(step.weight)});
    const Stop stop = [this] { return cancelled(); };
    if (!Repeated(std::move(distinct), left, stop).list(sums, stop)) return false;
    merge_equal(sums);
    if (sums.size() * ratios.size() > 4 * kMaxLogRatios) return false;
    for (const LogRatio& ratio : ratios) append(ended, sums, ratio.value, ratio.weight);
    return true;
  }

  static Status too_many(size_t prompt) {
    return {Code::range, "Expected at most " + std::to_string(kMaxLogRatios) + " distinct log ratios for prompt " +
                             std::to_string(prompt) + " but received more"};
  }

  const ExactRequest request_;
  const TabularMachine &reference_, &model_;
  std::vector<Ratios> ratios_;
};

}  // namespace

Status make_log_ratio_job(ExactRequest request, std::unique_ptr<LogRatioJob>& job) {
  if (Status status = check_exact(request); !status.ok()) return status;
  job = std::make_unique<LogRatios>(std::move(request));
  return {};
}

}  // namespace covn
