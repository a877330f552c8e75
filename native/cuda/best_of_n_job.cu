#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <vector>

#include "cuda/best_of_n.hpp"
#include "cuda/device/order_keys.hpp"
#include "cuda/slices.hpp"
#include "cuda/upload.hpp"
#include "covn/cuda.hpp"
#include "model/best_of_n_results.hpp"

namespace covn::cuda {

namespace {

// Tokens of a slice, at most, unless that leaves a multiprocessor with fewer than so many parts: some 20 ms at 1e11 a
// second.
constexpr uint64_t kSliceTokens = uint64_t{1} << 31;
constexpr uint64_t kLeastSliceParts = 24;

// What both slots use, on the device: a model's tables, those of its reward, and the sizes.
class DeviceModel {
 public:
  Status upload_all(const TabularMachine& machine, const RewardTables& reward, Reward::Kind kind,
                    const std::vector<uint64_t>& sizes, const Stop& stop) {
    stop_ = &stop;
    COVN_TRY(stream_.create());
    COVN_TRY(send(sizes.data(), sizes.size(), sizes_));
    const RolloutTables& tables = machine.tables();
    const size_t entries = machine.rows()->next.size();
    COVN_TRY(send(tables.columns, entries, columns_));
    COVN_TRY(send(tables.thresholds, entries, thresholds_));
    COVN_TRY(send(tables.outcomes, entries, outcomes_));
    if (machine.sparse()) {
      COVN_TRY(send(tables.rows, machine.states(), rows_));
      COVN_TRY(send(tables.tokens, entries, tokens_));
    }
    COVN_TRY(send(reward.classes().data(), reward.classes().size(), classes_));
    COVN_TRY(send(reward.next().data(), reward.next().size(), next_));
    COVN_TRY(send(reward.log_probs().data(), reward.log_probs().size(), log_probs_));
    COVN_TRY(send(reward.values().data(), reward.values().size(), values_));
    model_ = {
        {columns_.data(), thresholds_.data(), outcomes_.data(), rows_.data(), tokens_.data(), tables.width, tables.end},
        entries,
        machine.sparse(),
        reward.follower() != nullptr,
        {classes_.data(), next_.data(), log_probs_.data(), 0},
        values_.data(),
        static_cast<uint32_t>(reward.columns()),
        kind};
    return stream_.synchronize();  // other streams use them
  }
  const RolloutModel& model() const { return model_; }
  const uint64_t* sizes() const { return sizes_.data(); }

 private:
  template <class T>
  Status send(const T* values, size_t count, DeviceBuffer<T>& to) {
    COVN_TRY(to.allocate(count, stream_));
    return count > 0 ? upload(values, count, to, stream_, *stop_) : Status();
  }

  Stream stream_;
  const Stop* stop_ = nullptr;  // while tables are sent
  DeviceBuffer<uint64_t> sizes_, columns_, thresholds_, outcomes_, rows_;
  DeviceBuffer<uint32_t> tokens_, classes_, next_;
  DeviceBuffer<double> log_probs_, values_;
  RolloutModel model_{};
};

struct RolloutSlot : SliceSlot {
  DeviceBuffer<unsigned long long> device_sums;  // [prompts, 4]: totals; [prompts, sizes] successes, and best
  PinnedBuffer<unsigned long long> sums;
  DeviceBuffer<PartResult> device_parts;
  PinnedBuffer<PartResult> parts;
  DeviceBuffer<double> device_samples;  // rewards, and log-probs behind them, where all are looked at
  PinnedBuffer<double> samples;
};

class BestOfNJob final : public SlicedJob<Job, RolloutSlot> {
 public:
  BestOfNJob(BestOfNRequest request, size_t budget, const RolloutDevice& device)
      : request_(std::move(request)),
        machine_(machine_of(*request_.model)),
        device_(device),
        part_samples_(rollout_part_samples(request_.samples, request_.max_length)),
        parts_of_prompt_((request_.samples + part_samples_ - 1) / part_samples_),
        parts_(parts_of_prompt_ * request_.prompts.size()),
        all_samples_(request_.keep > 1 || request_.rewards != nullptr || request_.log_probs != nullptr) {
    const uint64_t sample_bytes = all_samples_ ? part_samples_ * 2 * sizeof(double) : 0;
    const uint64_t part_bytes = sizeof(PartResult) + sample_bytes + prompt_bytes() / parts_of_prompt_;
    const uint64_t least = kLeastSliceParts * static_cast<uint64_t>(device.multiprocessors);
    const uint64_t timely = std::max(least, kSliceTokens / (part_samples_ * request_.max_length));
    slice_parts_ =
        std::clamp<uint64_t>(slice_units(budget, part_bytes), 1, std::min(timely, std::max<uint64_t>(parts_, 1)));
    slice_prompts_ = std::min<uint64_t>((slice_parts_ - 1) / parts_of_prompt_ + 2, request_.prompts.size());
  }
  ~BestOfNJob() override { this->close(); }

  size_t chunk_count() const override { return (parts_ + slice_parts_ - 1) / slice_parts_; }

 protected:
  Status open(RolloutSlot& slot) override {
    COVN_TRY(open_model());
    COVN_TRY(slot.open(slice_prompts_ * sizeof(RolloutPrompt)));
    const size_t sums = slice_prompts_ * (kTotals + 2 * request_.sizes.size());
    COVN_TRY(slot.device_sums.allocate(sums, slot.stream));
    COVN_TRY(slot.sums.allocate(sums));
    COVN_TRY(slot.device_parts.allocate(slice_parts_, slot.stream));
    COVN_TRY(slot.parts.allocate(slice_parts_));
    const size_t samples = all_samples_ ? 2 * slice_parts_ * part_samples_ : 0;
    COVN_TRY(slot.device_samples.allocate(samples, slot.stream));
    return slot.samples.allocate(samples);
  }

  Status begin(size_t index, RolloutSlot& slot) override {
    const RolloutParts parts = parts_of(index);
    const size_t first = first_prompt(parts), prompts = last_prompt(parts) + 1 - first;
    auto* const given = reinterpret_cast<RolloutPrompt*>(slot.staged.data());
    for (size_t i = 0; i < prompts; i++) {
      const uint32_t prompt = request_.prompts[first + i];
      const Follower* const follower = reward_.follower();
      given[i] = {prompt, static_cast<uint32_t>(machine_.start(prompt)),
                  follower != nullptr ? static_cast<uint32_t>(follower->starts[prompt]) : 0};
    }
    COVN_TRY(slot.send(prompts * sizeof(RolloutPrompt)));
    COVN_TRY(slot.device_sums.fill(0, slot.stream));
    const size_t sizes = request_.sizes.size();
    unsigned long long* const sums = slot.device_sums.data();
    const uint64_t samples = parts.count * part_samples_;
    double* const rewards = slot.device_samples.data();
    const RolloutTask task{model_->model(),
                           parts,
                           reinterpret_cast<const RolloutPrompt*>(slot.input.data()),
                           model_->sizes(),
                           static_cast<uint32_t>(sizes),
                           static_cast<uint32_t>(request_.max_length),
                           request_.seed,
                           request_.success,
                           {reinterpret_cast<RolloutTotals*>(sums), sums + slice_prompts_ * kTotals,
                            sums + slice_prompts_ * (kTotals + sizes), slot.device_parts.data(), rewards,
                            all_samples_ ? rewards + samples : nullptr},
                           stop_->data()};
    COVN_CUDA_TRY(enqueue_rollouts(task, device_, slot.stream), "starting a kernel");
    COVN_TRY(slot.device_sums.copy_out(slot.sums.data(), slot.sums.size(), slot.stream));
    COVN_TRY(slot.device_parts.copy_out(slot.parts.data(), parts.count, slot.stream));
    if (!all_samples_) return {};
    return slot.device_samples.copy_out(slot.samples.data(), 2 * samples, slot.stream);
  }

  Status finish(size_t index, RolloutSlot& slot) override {
    const RolloutParts parts = parts_of(index);
    const size_t from = first_prompt(parts);
    for (uint64_t part = 0; part < parts.count && !this->cancelled(); part++) {
      const uint64_t number = parts.first + part;
      const size_t p = number / parts_of_prompt_;
      const bool begins = number % parts_of_prompt_ == 0, ends = (number + 1) % parts_of_prompt_ == 0;
      if (begins) begin_prompt(p);
      if (begins || part == 0) add_sums(p, p - from, slot);
      add_part(p, number, slot.parts[part], slot.samples.data() + (all_samples_ ? part * part_samples_ : 0),
               parts.count * part_samples_);
      if (ends) end_prompt(p);
    }
    return {};
  }

  Status finish_all() override { return {}; }
  void release() override {
    model_.reset();
    exchange_stop(nullptr);
  }
  void on_cancel() override {
    const std::lock_guard lock(stop_mutex_);
    if (stop_ != nullptr) (*stop_)[0] = 1;
  }

 private:
  static constexpr size_t kTotals = sizeof(RolloutTotals) / sizeof(unsigned long long);

  uint64_t prompt_bytes() const {
    return sizeof(RolloutPrompt) + (kTotals + 2 * request_.sizes.size()) * sizeof(unsigned long long);
  }
  RolloutParts parts_of(size_t slice) const {
    const uint64_t first = slice * slice_parts_;
    return {request_.samples, part_samples_, parts_of_prompt_, first, std::min(slice_parts_, parts_ - first)};
  }
  size_t first_prompt(const RolloutParts& parts) const { return parts.first / parts_of_prompt_; }
  size_t last_prompt(const RolloutParts& parts) const { return (parts.first + parts.count - 1) / parts_of_prompt_; }

  // Made with the first slot.
  Status open_model() {
    if (model_) return {};
    const Stop stop = [this] { return this->cancelled(); };
    COVN_TRY(machine_.prepare(stop));
    COVN_TRY(reward_.build(request_.reward, stop));
    COVN_TRY(open_stop());
    model_.emplace();
    return model_->upload_all(machine_, reward_, request_.reward.kind, request_.sizes, stop);
  }

  using StopWord = std::shared_ptr<PinnedBuffer<uint32_t>>;
  Status open_stop() {
    const auto word = std::make_shared<PinnedBuffer<uint32_t>>();
    COVN_TRY(word->allocate(1));
    (*word)[0] = 0;
    exchange_stop(word);
    if (this->cancelled()) on_cancel();
    return {};
  }
  // The one before is freed outside the lock: whoever cancels does not wait for that.
  void exchange_stop(StopWord word) {
    const std::lock_guard lock(stop_mutex_);
    stop_.swap(word);  // parameters go after the lock does
  }

  // Prompts come in order, and so do their parts.
  void begin_prompt(size_t p) {
    const size_t sizes = request_.sizes.size();
    std::fill_n(request_.successes + p * sizes, sizes, 0.0);
    std::fill_n(request_.best_rewards + p * sizes, sizes, -std::numeric_limits<double>::infinity());
    rewards_ = Moments();
    kept_ = KeptList(request_.keep);
    totals_ = {};
  }

  // Of the prompt's samples in this slice, at place `at` in it.
  void add_sums(size_t p, size_t at, const RolloutSlot& slot) {
    const size_t sizes = request_.sizes.size();
    const unsigned long long* const totals = slot.sums.data() + at * kTotals;
    const unsigned long long* const successes = slot.sums.data() + slice_prompts_ * kTotals + at * sizes;
    const unsigned long long* const best = successes + slice_prompts_ * sizes;
    totals_.surprisal_low += totals[0];
    totals_.surprisal_high += totals[1];
    totals_.tokens += totals[2];
    totals_.ended += totals[3];
    for (size_t k = 0; k < sizes; k++) {
      request_.successes[p * sizes + k] += static_cast<double>(successes[k]);
      double& known = request_.best_rewards[p * sizes + k];
      if (best[k] != 0) known = std::max(known, key_value64(best[k]));
    }
  }

  // Rewards of its samples, and `apart` numbers behind them their log-probs, where all are looked at.
  void add_part(size_t p, uint64_t number, const PartResult& part, const double* rewards, size_t apart) {
    rewards_.add(part.rewards);
    if (!all_samples_) return kept_.add({part.reward, part.sample, part.log_prob});
    const uint64_t first = number % parts_of_prompt_ * part_samples_;
    const uint64_t count = std::min(part_samples_, request_.samples - first);
    for (uint64_t i = 0; i < count; i++) {
      kept_.add({rewards[i], static_cast<uint32_t>(first + i), rewards[apart + i]});
    }
    const size_t to = p * request_.samples + first;
    if (request_.rewards != nullptr) std::copy_n(rewards, count, request_.rewards + to);
    if (request_.log_probs != nullptr) std::copy_n(rewards + apart, count, request_.log_probs + to);
  }

  void end_prompt(size_t p) {
    const size_t sizes = request_.sizes.size();
    for (size_t k = 1; k < sizes; k++) {
      const size_t at = p * sizes + k;
      request_.successes[at] += request_.successes[at - 1];
      request_.best_rewards[at] = std::max(request_.best_rewards[at], request_.best_rewards[at - 1]);
    }
    const double surprisal =
        std::ldexp(static_cast<double>(totals_.surprisal_high), 32) + static_cast<double>(totals_.surprisal_low);
    const double sums[] = {rewards_.total(), rewards_.squared_distances(), 0.0 - std::ldexp(surprisal, -kSurprisalBits),
                           static_cast<double>(totals_.tokens), static_cast<double>(totals_.ended)};
    std::copy(std::begin(sums), std::end(sums), request_.sums + p * std::size(sums));
    write_kept(request_, p, std::move(kept_));
  }

  const BestOfNRequest request_;
  const TabularMachine& machine_;
  const RolloutDevice device_;
  const uint64_t part_samples_, parts_of_prompt_, parts_;
  const bool all_samples_;  // rewards and log-probs of all samples come back
  uint64_t slice_parts_, slice_prompts_;
  RewardTables reward_;
  std::optional<DeviceModel> model_;
  std::mutex stop_mutex_;  // another thread may cancel while this one ends
  StopWord stop_;
  Moments rewards_;
  KeptList kept_{0};
  RolloutTotals totals_{};
};

}  // namespace

Status make_best_of_n_job(BestOfNRequest request, std::unique_ptr<Job>& job) {
  request.target = Target::scalar;  // means nothing here
  COVN_TRY(check_best_of_n(request));
  size_t budget = 0;
  COVN_TRY(device_budget(budget));
  RolloutDevice device{};
  COVN_TRY(find_rollout_device(device));
  job = std::make_unique<BestOfNJob>(std::move(request), budget, device);
  return {};
}

}  // namespace covn::cuda
