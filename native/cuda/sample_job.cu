#include <algorithm>
#include <array>
#include <vector>

#include "cuda/sample_logits.hpp"
#include "cuda/score_logits.hpp"
#include "cuda/slices.hpp"
#include "covn/cuda.hpp"
#include "kernels/sample_check.hpp"
#include "kernels/token_outputs.hpp"

namespace covn::cuda {

namespace {

// Draws of a slice, at most: some milliseconds of the host's time, which settles what is not proved.
constexpr size_t kSliceDraws = size_t{1} << 20;
// Of a row with more open draws than this, all between the first and the last are drawn by the CPU at once: its sums
// are then made once.
constexpr size_t kDrawnSingly = 4;

struct SampleSlot : SliceSlot {
  PinnedBuffer<uint32_t> words;  // sequences, positions, first samples
  DeviceBuffer<uint32_t> device_words;
  DeviceBuffer<RowPart> parts;
  DeviceBuffer<double> prefix;
  DeviceBuffer<DrawnRow> device_rows;
  PinnedBuffer<DrawnRow> rows;
  DeviceBuffer<int32_t> device_tokens;
  PinnedBuffer<int32_t> tokens;
  DeviceBuffer<uint8_t> device_open;
  PinnedBuffer<uint8_t> open_draws;
  DeviceBuffer<float> device_log_probs;  // both kinds, one behind the other
  PinnedBuffer<float> log_probs;
};

// Slices are all draws of some rows, or some draws of one row.
template <class T>
class SampleJob final : public SlicedJob<Job, SampleSlot> {
 public:
  SampleJob(const SampleRequest& request, size_t budget)
      : request_(request),
        vocab_(request.vocab),
        logits_(static_cast<const T*>(request.logits)),
        parts_(row_cut<T>(vocab_).parts),
        kinds_((request.log_prob != nullptr ? 1u : 0u) + (request.sampled_log_prob != nullptr ? 1u : 0u)),
        slice_draws_(std::min(request.samples, kSliceDraws)),
        draw_slices_((request.samples + slice_draws_ - 1) / slice_draws_) {
    const size_t row_bytes = vocab_ * sizeof(T) + parts_ * (sizeof(RowPart) + sizeof(double)) + sizeof(DrawnRow) +
                             slice_draws_ * (sizeof(int32_t) + 1 + kinds_ * sizeof(float));
    slice_rows_ = std::min({slice_units(budget, row_bytes), std::max<size_t>(1, kSliceDraws / slice_draws_),
                            std::max<size_t>(1, request.rows)});
  }
  ~SampleJob() override { this->close(); }

  size_t chunk_count() const override { return (request_.rows + slice_rows_ - 1) / slice_rows_ * draw_slices_; }

 protected:
  Status open(SampleSlot& slot) override {
    const size_t rows = slice_rows_, draws = rows * slice_draws_;
    COVN_TRY(slot.open(rows * vocab_ * sizeof(T)));
    COVN_TRY(slot.words.allocate(3 * rows));
    COVN_TRY(slot.device_words.allocate(3 * rows, slot.stream));
    COVN_TRY(slot.parts.allocate(rows * parts_, slot.stream));
    COVN_TRY(slot.prefix.allocate(rows * parts_, slot.stream));
    COVN_TRY(slot.device_rows.allocate(rows, slot.stream));
    COVN_TRY(slot.device_rows.fill(0, slot.stream));  // some of it is copied back though nobody looks at it
    COVN_TRY(slot.rows.allocate(rows));
    COVN_TRY(slot.device_tokens.allocate(draws, slot.stream));
    COVN_TRY(slot.tokens.allocate(draws));
    COVN_TRY(slot.device_open.allocate(draws, slot.stream));
    COVN_TRY(slot.open_draws.allocate(draws));
    COVN_TRY(slot.device_log_probs.allocate(kinds_ * draws, slot.stream));
    return slot.log_probs.allocate(kinds_ * draws);
  }

  Status begin(size_t index, SampleSlot& slot) override {
    const Slice slice = slice_of(index);
    const size_t rows = slice.rows, draws = rows * slice.count, bytes = rows * vocab_ * sizeof(T);
    slot.stage(logits_ + slice.first_row * vocab_, bytes);
    COVN_TRY(slot.send(bytes));
    const uint32_t* const words[] = {request_.sequences, request_.positions, request_.first_samples};
    for (size_t k = 0; k < 3; k++) std::copy_n(words[k] + slice.first_row, rows, slot.words.data() + k * rows);
    COVN_TRY(slot.device_words.copy_in(slot.words.data(), 3 * rows, slot.stream));
    const uint32_t* const device_words = slot.device_words.data();
    const SampleRows<T> in{reinterpret_cast<const T*>(slot.input.data()),
                           rows,
                           vocab_,
                           device_words,
                           device_words + rows,
                           device_words + 2 * rows};
    float* const log_prob = request_.log_prob != nullptr ? slot.device_log_probs.data() : nullptr;
    float* const sampled =
        request_.sampled_log_prob != nullptr ? slot.device_log_probs.data() + (kinds_ - 1) * draws : nullptr;
    COVN_CUDA_TRY(
        enqueue_sample(in, {request_.filter, request_.seed, slice.first, slice.count},
                       {slot.parts.data(), slot.prefix.data()},
                       {slot.device_rows.data(), slot.device_tokens.data(), slot.device_open.data(), log_prob, sampled},
                       slot.stream),
        "starting a kernel");
    COVN_TRY(slot.device_rows.copy_out(slot.rows.data(), rows, slot.stream));
    COVN_TRY(slot.device_tokens.copy_out(slot.tokens.data(), draws, slot.stream));
    COVN_TRY(slot.device_open.copy_out(slot.open_draws.data(), draws, slot.stream));
    return slot.device_log_probs.copy_out(slot.log_probs.data(), kinds_ * draws, slot.stream);
  }

  Status finish(size_t index, SampleSlot& slot) override {
    const Slice slice = slice_of(index);
    for (size_t i = 0; i < slice.rows && !this->cancelled(); i++) {
      const size_t row = slice.first_row + i;
      if (slot.rows[i].state == DrawnState::bad) {
        this->fail_at(row, non_finite_row("logits", row, describe_non_finite(logits_ + row * vocab_, vocab_)));
        continue;
      }
      const size_t to = row * request_.samples + slice.first, from = i * slice.count;
      std::copy_n(slot.tokens.data() + from, slice.count, request_.tokens + to);
      const float* log_probs = slot.log_probs.data() + from;
      for (float* const out : {request_.log_prob, request_.sampled_log_prob}) {
        if (out == nullptr) continue;
        std::copy_n(log_probs, slice.count, out + to);
        log_probs += slice.rows * slice.count;
      }
      settle(row, slot.rows[i], slot.open_draws.data() + from, slice);
    }
    return {};
  }

  Status finish_all() override { return {}; }

 private:
  struct Slice {
    size_t first_row, rows, first, count;  // draws of each of them
  };
  Slice slice_of(size_t index) const {
    const size_t row = index / draw_slices_ * slice_rows_, first = index % draw_slices_ * slice_draws_;
    return {row, std::min(slice_rows_, request_.rows - row), first, std::min(slice_draws_, request_.samples - first)};
  }

  // Draws of a row that are not proved, by the CPU.
  void settle(size_t row, const DrawnRow& drawn, const uint8_t* open, const Slice& slice) {
    std::vector<uint32_t> listed;
    for (size_t i = 0; i < slice.count; i++) {
      if (open[i] != 0) listed.push_back(static_cast<uint32_t>(slice.first + i));
    }
    if (listed.empty()) return;
    // What a filter leaves has a sum of its own.
    const bool undecided = drawn.state == DrawnState::undecided;
    std::vector<int32_t> tokens(listed.size());
    std::vector<float> sampled(listed.size());
    SampleRequest request = request_;
    request.logits = logits_ + row * vocab_;
    request.logit_count = vocab_;
    request.rows = 1;
    request.samples = listed.size();
    request.sequences += row;
    request.positions += row;
    request.first_samples += row;
    request.listed = listed.data();
    request.target = best_target();
    request.tokens = tokens.data();
    request.log_prob = nullptr;
    request.sampled_log_prob = undecided ? sampled.data() : nullptr;
    if (Status status = run_here(request); !status.ok()) return this->fail_at(row, std::move(status));
    for (size_t i = 0; i < listed.size() && !this->cancelled(); i++) {
      const float logit = to_float(logits_[row * vocab_ + static_cast<size_t>(tokens[i])]);
      const size_t to = row * request_.samples + listed[i];
      request_.tokens[to] = tokens[i];
      if (request_.log_prob != nullptr) {
        request_.log_prob[to] = static_cast<float>(logit_log_prob(logit, drawn.max, drawn.unit_log_sum, 1.0));
      }
      if (request_.sampled_log_prob == nullptr) continue;
      request_.sampled_log_prob[to] =
          undecided ? sampled[i]
                    : static_cast<float>(logit_log_prob(logit, drawn.max, drawn.log_sum, inverse_temperature_));
    }
  }

  // Also ends, with whatever there is, when this job is cancelled.
  Status run_here(const SampleRequest& request) {
    std::unique_ptr<Job> job;
    COVN_TRY(::covn::make_sample_job(request, job));
    while (!this->cancelled() && job->run_one_chunk()) {
    }
    return this->cancelled() ? Status() : job->settle();
  }

  const SampleRequest request_;
  const size_t vocab_;
  const T* const logits_;
  const size_t parts_;
  const size_t kinds_;  // of log-probs that are wanted
  const size_t slice_draws_, draw_slices_;
  size_t slice_rows_;
  const double inverse_temperature_ = 1.0 / request_.filter.temperature;
};

}  // namespace

Status make_sample_job(const SampleRequest& asked, std::unique_ptr<Job>& job) {
  SampleRequest request = asked;
  request.target = best_target();  // of what is settled by the CPU
  COVN_TRY(check_samples(request));
  size_t budget = 0;
  COVN_TRY(device_budget(budget));
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<SampleJob<float>>(request, budget); break;
    case DType::f16: job = std::make_unique<SampleJob<Float16>>(request, budget); break;
    case DType::bf16: job = std::make_unique<SampleJob<BFloat16>>(request, budget); break;
  }
  return {};
}

}  // namespace covn::cuda
