#include "learn/linear_machine.hpp"

#include <algorithm>
#include <cmath>

namespace covn {

namespace {

Status check_finite(const std::vector<double>& values, const char* name) {
  for (size_t i = 0; i < values.size(); i++) {
    if (!std::isfinite(values[i])) {
      return expected(Code::non_finite, "a finite number", std::string(name) + "[" + std::to_string(i) + "]",
                      std::to_string(values[i]));
    }
  }
  return {};
}

Status check_sparse_features(const LinearFeatures& features, size_t entries) {
  const auto count = static_cast<int64_t>(features.values.size());
  if (features.offsets.size() != entries + 1) {
    return expected(Code::shape, std::to_string(entries + 1) + " elements (one more than entries)", "featureOffsets",
                    std::to_string(features.offsets.size()));
  }
  if (features.ids.size() != features.values.size()) {
    return expected(Code::shape, "as many elements as featureValues", "featureIds",
                    std::to_string(features.ids.size()));
  }
  int64_t before = 0;
  for (size_t e = 0; e <= entries; e++) {
    const int64_t offset = features.offsets[e];
    if (offset < before || offset > count || (e == 0 && offset != 0) || (e == entries && offset != count)) {
      return expected(Code::range, "offsets from 0 to the number of features, never falling",
                      "featureOffsets[" + std::to_string(e) + "]", std::to_string(offset));
    }
    before = offset;
  }
  for (size_t i = 0; i < features.ids.size(); i++) {
    if (features.ids[i] < 0 || static_cast<size_t>(features.ids[i]) >= features.dimension) {
      return expected(Code::range, "an integer in [0, " + std::to_string(features.dimension - 1) + "]",
                      "featureIds[" + std::to_string(i) + "]", std::to_string(features.ids[i]));
    }
  }
  return check_finite(features.values, "featureValues");
}

Status check_features(const LinearFeatures& features, size_t entries) {
  if (features.dimension < 1 || features.dimension > kMaxDimension) {
    return expected(Code::range, "an integer in [1, 2^24]", "dimension", std::to_string(features.dimension));
  }
  if (!features.offsets.empty()) return check_sparse_features(features, entries);
  if (features.dense.size() / features.dimension != entries || features.dense.size() % features.dimension != 0) {
    return expected(Code::shape, "entries * dimension (" + std::to_string(entries * features.dimension) + ") elements",
                    "features", std::to_string(features.dense.size()));
  }
  return check_finite(features.dense, "features");
}

}  // namespace

FeatureTable::FeatureTable(LinearFeatures features, const TabularRows& machine)
    : features_(std::move(features)), width_(padded(features_.dimension)) {
  if (machine.offsets.empty()) widest_ = machine.vocab;
  for (size_t s = 0; s + 1 < machine.offsets.size(); s++) {
    widest_ = std::max(widest_, static_cast<size_t>(machine.offsets[s + 1] - machine.offsets[s]));
  }
  const size_t entries = machine.next.size();
  const size_t d = features_.dimension;
  if (!features_.offsets.empty() || width_ == d) return;
  std::vector<double> rows(entries * width_);
  for (size_t e = 0; e < entries; e++) std::copy_n(&features_.dense[e * d], d, &rows[e * width_]);
  features_.dense = std::move(rows);
}

size_t FeatureTable::bytes() const {
  return (features_.dense.size() + features_.offsets.size() + features_.values.size()) * sizeof(double) +
         features_.ids.size() * sizeof(int32_t);
}

void FeatureTable::logits(const LearnKernels& kernels, size_t first, size_t n, const double* theta, double* out) const {
  if (features_.offsets.empty()) {
    return kernels.linear_logits(features_.dense.data() + first * width_, n, width_, theta, out);
  }
  auto f = static_cast<size_t>(features_.offsets[first]);
  for (size_t i = 0; i < n; i++) {
    double sum = 0.0;
    for (const auto end = static_cast<size_t>(features_.offsets[first + i + 1]); f < end; f++) {
      sum += features_.values[f] * theta[features_.ids[f]];
    }
    out[i] = sum;
  }
  for (size_t i = n; i < padded(n); i++) out[i] = out[n - 1];
}

void FeatureTable::add(const LearnKernels& kernels, size_t first, size_t n, const double* weights, double* sum) const {
  if (features_.offsets.empty()) {
    return kernels.add_weighted_rows(features_.dense.data() + first * width_, n, width_, weights, sum);
  }
  auto f = static_cast<size_t>(features_.offsets[first]);
  for (size_t i = 0; i < n; i++) {
    for (const auto end = static_cast<size_t>(features_.offsets[first + i + 1]); f < end; f++) {
      sum[features_.ids[f]] += weights[i] * features_.values[f];
    }
  }
}

LinearMachine::LinearMachine(std::shared_ptr<const TabularRows> rows, std::shared_ptr<const FeatureTable> features,
                             std::vector<double> theta, bool shares)
    : TabularMachine(std::move(rows)), features_(std::move(features)), theta_(std::move(theta)), shares_(shares) {}

size_t LinearMachine::bytes() const {
  const size_t own = (theta_.size() + rows()->next.size()) * sizeof(double);
  return shares_ ? own : own + TabularMachine::bytes() + features_->bytes();
}

Status LinearMachine::fill_log_probs(const Stop& stop, std::vector<double>& log_probs) const {
  log_probs.resize(rows()->next.size());
  StateRow row(*this, best_target());
  for (size_t s = 0; s < states(); s++) {
    if (s % 256 == 0 && stop()) return {Code::cancelled, ""};
    row.load(s, theta_.data());
    for (size_t i = 0; i < row.size(); i++) log_probs[row.first() + i] = row.log_prob(i);
  }
  return {};
}

void StateRow::load(size_t state, const double* theta) {
  first_ = machine_.first_entry(state);
  size_ = machine_.entries_of(state);
  machine_.features()->logits(kernels_, first_, size_, theta, logits_.data());
  softmax_ = kernels_.softmax(logits_.data(), size_, probabilities_.data());
  log_sum_ = std::log(softmax_.sum);
}

Status check_theta(const std::vector<double>& theta, size_t dimension) {
  if (theta.size() != dimension) {
    return expected(Code::shape, std::to_string(dimension) + " elements", "theta", std::to_string(theta.size()));
  }
  return check_finite(theta, "theta");
}

Status check_same_machine(const TabularModel& reference, const TabularModel& model) {
  const TabularRows &a = *machine_of(reference).rows(), &b = *machine_of(model).rows();
  if (&a == &b) return {};
  const char* differs = nullptr;
  if (a.starts != b.starts) differs = "start";
  if (a.next != b.next) differs = "next";
  if (a.tokens != b.tokens) differs = "tokens";
  if (a.offsets != b.offsets) differs = "offsets";
  if (a.vocab != b.vocab) differs = "vocab";
  if (differs == nullptr) return {};
  return expected(Code::shape, "the machine of the model", std::string(differs) + " of the reference", "another");
}

Status make_linear_model(TabularRows machine, LinearFeatures features, std::vector<double> theta,
                         std::shared_ptr<const TabularModel>& model) {
  machine.log_probs.clear();
  if (Status status = check_rows(machine); !status.ok()) return status;
  if (Status status = check_features(features, machine.next.size()); !status.ok()) return status;
  if (Status status = check_theta(theta, features.dimension); !status.ok()) return status;
  auto table = std::make_shared<const FeatureTable>(std::move(features), machine);
  theta.resize(table->width());
  model = std::make_shared<LinearMachine>(std::make_shared<const TabularRows>(std::move(machine)), std::move(table),
                                          std::move(theta), false);
  return {};
}

size_t linear_dimension(const TabularModel& model) { return model.linear()->features()->dimension(); }

Status with_theta(const TabularModel& model, std::vector<double> theta, std::shared_ptr<const TabularModel>& made) {
  const LinearMachine& machine = *model.linear();
  if (Status status = check_theta(theta, machine.features()->dimension()); !status.ok()) return status;
  theta.resize(machine.features()->width());
  made = std::make_shared<LinearMachine>(machine.rows(), machine.features(), std::move(theta), true);
  return {};
}

}  // namespace covn
