// Pairwise and tail counts.
#include <algorithm>

#include "test/adversarial.hpp"
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

const std::vector<double> kThresholds{3.0, 0.0, 1.0, 0.5, 7.0, 5e-324, 1e6};

Operation pairwise_operation(size_t models, size_t responses) {
  const auto values =
      std::make_shared<const std::vector<double>>(test::adversarial_log_probs(models * responses, kThresholds, 12));
  Operation operation;
  operation.name = "pairwise counts " + std::to_string(models) + " x " + std::to_string(responses);
  operation.rows = 1;
  operation.row_wise = false;
  operation.start = [values, models, responses](Where where, const Rows&) {
    std::unique_ptr<PairwiseJob> made;
    Run run;
    const LogProbMatrix matrix{values->data(), models, responses};
    run.status = where == Where::cpu ? covn::make_pairwise_job(matrix, kThresholds, best_target(), made)
                                     : cuda::make_pairwise_job(matrix, kThresholds, best_target(), made);
    const std::shared_ptr<PairwiseJob> job = std::move(made);
    run.job = job;
    run.collect = [values, job] { return std::vector<Column>{column("counts", 0.0, job->counts())}; };
    return run;
  };
  return operation;
}

// The CPU has no such job; what it is to give is counted here. Weights are multiples of 2^-20 whose sums are exact.
Operation tail_operation(size_t count, bool weighted) {
  struct Data {
    std::vector<double> log_ratios, weights;
  };
  test::Random random(13);
  const auto data = std::make_shared<Data>();
  data->log_ratios = test::adversarial_log_probs(count, kThresholds, 14);
  for (double& value : data->log_ratios) value = value == -HUGE_VAL ? HUGE_VAL : -value;
  for (size_t i = 0; weighted && i < count; i++) {
    data->weights.push_back(static_cast<double>(random.bits() >> (33 + random.bits() % 20)) * 0x1p-20);
  }
  Operation operation;
  operation.name = "tail counts of " + std::to_string(count) + (weighted ? ", weighted" : "");
  operation.rows = 1;
  operation.row_wise = false;
  operation.start = [data = std::shared_ptr<const Data>(data), weighted](Where where, const Rows&) {
    class Plain final : public Job {
     public:
      explicit Plain(const Data& data) : data_(data), counts(kThresholds.size()), weights(kThresholds.size()) {}
      size_t chunk_count() const override { return 1; }

     protected:
      void run_chunk(size_t) override {
        for (size_t k = 0; k < kThresholds.size(); k++) {
          for (size_t i = 0; i < data_.log_ratios.size(); i++) {
            if (!(data_.log_ratios[i] >= kThresholds[k])) continue;
            counts[k]++;
            if (!data_.weights.empty()) weights[k] += data_.weights[i];
          }
        }
      }

     private:
      const Data& data_;

     public:
      std::vector<uint64_t> counts;
      std::vector<double> weights;
    };
    const auto columns = [weighted](const auto& counts, const auto& weights) {
      std::vector<Column> columns{column("counts", 0.0, counts)};
      if (weighted) columns.push_back(column("weights", 0.0, weights));
      return columns;
    };
    Run run;
    if (where == Where::cpu) {
      const auto job = std::make_shared<Plain>(*data);
      run.job = job;
      run.collect = [data, job, columns] { return columns(job->counts, job->weights); };
      return run;
    }
    std::unique_ptr<TailCountsJob> made;
    run.status = cuda::make_tail_counts_job(
        {data->log_ratios.data(), weighted ? data->weights.data() : nullptr, data->log_ratios.size(), kThresholds},
        made);
    const std::shared_ptr<TailCountsJob> job = std::move(made);
    run.job = job;
    run.collect = [data, job, columns] { return columns(job->counts(), job->weights()); };
    return run;
  };
  return operation;
}

const RegisterOperations operations("5 counts", [](const Scale& scale) {
  Factories factories;
  factories.emplace_back([=] { return pairwise_operation(3, scale.pick<size_t>(300'000, 4100)); });
  factories.emplace_back(
      [=] { return pairwise_operation(scale.pick<size_t>(197, 67), scale.pick<size_t>(20'011, 200)); });
  factories.emplace_back([=] { return tail_operation(scale.pick<size_t>(10'000'019, 20'011), false); });
  factories.emplace_back([=] { return tail_operation(scale.pick<size_t>(10'000'019, 20'011), true); });
  return factories;
});

}  // namespace
}  // namespace covn::gpu_check
