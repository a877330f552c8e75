// The job of scoreHidden on a device: rows in panels, the vocabulary in stripes; a chunk is one panel by one stripe.
// The host fills pinned buffers and starts kernels for one chunk while the device is at the chunk before.
#include "cuda/score_hidden.hpp"

#include <cmath>

#include "covn/cuda.hpp"
#include "cuda/element_type.hpp"
#include "cuda/free_memory.hpp"
#include "cuda/hidden_buffers.hpp"
#include "cuda/hidden_gather.cuh"
#include "cuda/hidden_launch.cuh"
#include "kernels/hidden_check.hpp"
#include "kernels/token_outputs.hpp"

namespace covn::cuda {

namespace {

template <class T>
class HiddenJob final : public ScoreJob {
 public:
  HiddenJob(HiddenRequest request, std::vector<ScoredToken> tokens, const HiddenOptions& options,
            const HiddenDevice& device, size_t budget)
      : request_(std::move(request)),
        scoring_(request_.scoring),
        hidden_(static_cast<const T*>(request_.hidden)),
        weight_(static_cast<const T*>(request_.weight)),
        tokens_(std::move(tokens)),
        device_(device),
        staged_bytes_(options.staged_bytes),
        size_{tokens_.size(), request_.width, request_.vocab, sizeof(T), kTileEntries<T>},
        plan_(tokens_.empty() ? HiddenPlan{} : make_hidden_plan(size_, options, budget)),
        terms_(make_term_parameters(scoring_.temperature)),
        cap_(make_soft_cap(request_.softcap)),
        outputs_(scoring_),
        log_probs_(scoring_.rows) {}

  size_t chunk_count() const override { return plan_.panels * plan_.stripes; }
  size_t thread_limit() const override { return 1; }
  bool settles_slowly() const override { return buffers_ != nullptr; }
  const std::vector<int64_t>& non_finite_rows() const override { return outputs_.non_finite_rows(); }

 protected:
  void run_chunk(size_t chunk) override {
    size_t place = 0;
    if (Status status = run(chunk, place); !status.ok()) {
      buffers_.reset();
      fail(chunk, place, std::move(status));
    }
  }
  void abandon() override { buffers_.reset(); }

  Status merge() override {
    size_t place = 0;
    const size_t last = plan_.panels;
    for (size_t panel = last > 2 ? last - 2 : 0; panel < last; panel++) COVN_TRY(finish_panel(panel, place));
    buffers_.reset();
    outputs_.write_rows_between(tokens_);
    outputs_.sort();
    return sum_tokens(log_probs_.data(), scoring_.rows, scoring_.offsets, scoring_.sequence);
  }

 private:
  // Starts a chunk's work. A failure's `place` is the row, where it has one.
  Status run(size_t chunk, size_t& place) {
    const size_t panel = chunk / plan_.stripes, stripe = chunk % plan_.stripes;
    if (buffers_ == nullptr) {
      buffers_ = std::make_unique<HiddenBuffers<T>>();
      COVN_TRY(buffers_->allocate(plan_, size_, staged_bytes_, request_.bias != nullptr));
    }
    // No more than two chunks wait on the device.
    Event& done = buffers_->chunk_done[chunk % 2];
    COVN_TRY(done.synchronize());
    if (stripe == 0) {
      if (panel >= 2) COVN_TRY(finish_panel(panel - 2, place));
      COVN_TRY(upload_panel(panel));
    }
    HiddenStripe<T>& slot = buffers_->stripes[plan_.resident ? stripe : chunk % plan_.weight_slots()];
    if (slot.index != stripe) COVN_TRY(upload_stripe(stripe, slot));
    if (cancelled()) return {};
    COVN_TRY(multiply(panel, stripe, slot));
    return done.record(buffers_->compute);
  }

  size_t first_token(size_t panel) const { return panel * plan_.panel_rows; }
  size_t token_count(size_t panel) const { return std::min(plan_.panel_rows, tokens_.size() - first_token(panel)); }
  HiddenPanel<T>& panel_at(size_t panel) const { return buffers_->panels[panel % 2]; }
  HiddenMatrix<T> matrix(const T* data, size_t rows) const { return {data, plan_.pitch, static_cast<uint32_t>(rows)}; }

  // The rows of a panel, and the logits of their targets: those are wanted before any others, to count ranks by, and
  // are summed by the same instructions, as the diagonal of the rows by the weights of their targets.
  Status upload_panel(size_t index) {
    HiddenPanel<T>& panel = panel_at(index);
    const ScoredToken* tokens = tokens_.data() + first_token(index);
    const size_t count = token_count(index), width = request_.width;
    const cudaStream_t stream = buffers_->upload;
    const auto stopped = [this] { return cancelled(); };
    for (size_t i = 0; i < count; i++) {
      panel.host_targets[i] = static_cast<int32_t>(tokens[i].target);
      panel.host_target_bias[i] = request_.bias != nullptr ? request_.bias[tokens[i].target] : 0.0f;
    }
    COVN_TRY(panel.targets.copy_in(panel.host_targets.data(), count, stream));
    COVN_TRY(panel.target_bias.copy_in(panel.host_target_bias.data(), count, stream));
    COVN_TRY(buffers_->rows.copy(
        panel.hidden.data(), plan_.pitch, width, count, [&](size_t i) { return hidden_ + tokens[i].row * width; },
        stream, stopped));
    for (size_t first = 0; first < count && !cancelled(); first += plan_.target_rows) {
      const size_t rows = std::min(plan_.target_rows, count - first);
      T* weights = buffers_->target_weight.data();
      COVN_TRY(buffers_->rows.copy(
          weights, plan_.pitch, width, rows, [&](size_t i) { return weight_ + tokens[first + i].target * width; },
          stream, stopped));
      HiddenTiles t{};
      t.rows = t.entries = static_cast<uint32_t>(rows);
      t.bias = request_.bias != nullptr ? panel.target_bias.data() + first : nullptr;
      t.cap = cap_;
      t.diagonal = panel.target_logits.data() + first;
      COVN_TRY(launch_diagonal(device_, matrix(panel.hidden.data() + first * plan_.pitch, rows), matrix(weights, rows),
                               t, stream));
    }
    return panel.uploaded.record(stream);
  }

  size_t entry_count(size_t stripe) const {
    return std::min(plan_.stripe_entries, request_.vocab - stripe * plan_.stripe_entries);
  }

  Status upload_stripe(size_t stripe, HiddenStripe<T>& slot) {
    const size_t first = stripe * plan_.stripe_entries, count = entry_count(stripe), width = request_.width;
    const cudaStream_t stream = buffers_->upload;
    // What the slot held is still read by the kernels of an earlier chunk; its bias was copied long ago.
    COVN_TRY(slot.read.hold(stream));
    COVN_TRY(slot.uploaded.synchronize());
    if (request_.bias != nullptr) {
      std::copy_n(request_.bias + first, count, slot.host_bias.data());
      COVN_TRY(slot.bias.copy_in(slot.host_bias.data(), count, stream));
    }
    slot.index = stripe;
    COVN_TRY(buffers_->rows.copy(
        slot.weight.data(), plan_.pitch, width, count, [&](size_t i) { return weight_ + (first + i) * width; }, stream,
        [this] { return cancelled(); }));
    return slot.uploaded.record(stream);
  }

  // A panel by a stripe, batch by batch.
  Status multiply(size_t index, size_t stripe, HiddenStripe<T>& slot) {
    HiddenPanel<T>& panel = panel_at(index);
    const cudaStream_t stream = buffers_->compute;
    const size_t count = token_count(index);
    COVN_TRY(panel.uploaded.hold(stream));
    COVN_TRY(slot.uploaded.hold(stream));
    for (size_t first = 0; first < count && !cancelled(); first += plan_.batch_rows) {
      // A cancelled job ends when what waits on the device has.
      Event& batch_done = buffers_->batch_done[batch_++ % HiddenBuffers<T>::kBatchesAhead];
      COVN_TRY(batch_done.synchronize());
      HiddenTiles t{};
      t.rows = static_cast<uint32_t>(std::min(plan_.batch_rows, count - first));
      t.entries = static_cast<uint32_t>(entry_count(stripe));
      t.first_entry = static_cast<uint32_t>(stripe * plan_.stripe_entries);
      t.bias = request_.bias != nullptr ? slot.bias.data() : nullptr;
      t.cap = cap_;
      t.terms = terms_;
      t.targets = panel.targets.data() + first;
      t.target_logits = panel.target_logits.data() + first;
      t.parts = buffers_->parts.data();
      COVN_TRY(launch_stripe(device_, matrix(panel.hidden.data() + first * plan_.pitch, t.rows),
                             matrix(slot.weight.data(), t.entries), t, stripe == 0, panel.totals.data() + first,
                             stream));
      COVN_TRY(batch_done.record(stream));
    }
    COVN_TRY(slot.read.record(stream));
    if (stripe + 1 < plan_.stripes) return {};
    COVN_TRY(panel.totals.copy_out(panel.host_totals.data(), count, stream));
    COVN_TRY(panel.target_logits.copy_out(panel.host_target_logits.data(), count, stream));
    return panel.finished.record(stream);
  }

  // Waits for a panel and writes its outputs.
  Status finish_panel(size_t index, size_t& place) {
    const HiddenPanel<T>& panel = panel_at(index);
    COVN_TRY(panel.finished.synchronize());
    const ScoredToken* tokens = tokens_.data() + first_token(index);
    for (size_t i = 0; i < token_count(index); i++) {
      const size_t row = tokens[i].row;
      const HiddenTotal& total = panel.host_totals[i];
      if (total.sum > 0.0) {
        write_row(row, total, panel.host_target_logits[i]);
        continue;
      }
      const float found = total.max;
      Status status = outputs_.write_non_finite(row, "hidden", [found] {
        return std::string(std::isnan(found) ? "NaN" : found > 0 ? "+inf" : "-inf in every column");
      });
      if (!status.ok()) {
        place = row;
        return status;
      }
      log_probs_[row] = std::numeric_limits<double>::quiet_NaN();
    }
    return {};
  }

  void write_row(size_t row, const HiddenTotal& total, float target_logit) {
    RowBatch batch;
    RowResults results;
    const HiddenScore score = finish_hidden_row(total, target_logit, scoring_.temperature);
    batch.max[0] = total.max;
    batch.greater[0] = total.greater;
    results.log_sum[0] = score.log_sum;
    results.token[0] = score.token;
    results.entropy[0] = score.entropy;
    log_probs_[row] = results.token[0];
    outputs_.write_rows(row, 0, 1, batch, results);
  }

  const HiddenRequest request_;
  const TokenScoring& scoring_;
  const T* const hidden_;
  const T* const weight_;
  const std::vector<ScoredToken> tokens_;
  const HiddenDevice device_;
  const size_t staged_bytes_;
  const HiddenSize size_;
  const HiddenPlan plan_;
  const TermParameters terms_;
  const SoftCap cap_;
  std::unique_ptr<HiddenBuffers<T>> buffers_;
  size_t batch_ = 0;
  TokenOutputs outputs_;
  std::vector<double> log_probs_;  // [rows], 0 where not scored
};

// What enqueue_hidden works in, one after another in its caller's workspace.
template <class T>
struct HiddenWorkspace {
  HiddenPlan plan;
  size_t weight_bytes, bias_bytes, parts_bytes;

  explicit HiddenWorkspace(const HiddenRows& in)
      : plan(make_hidden_plan({in.rows, in.width, in.vocab, sizeof(T), kTileEntries<T>}, HiddenOptions(), SIZE_MAX)) {
    const size_t rows = std::min(plan.target_rows, in.rows);
    const size_t tiles = (std::min(plan.stripe_entries, in.vocab) + kTileEntries<T> - 1) / kTileEntries<T>;
    weight_bytes = rows * in.width * sizeof(T);
    bias_bytes = (rows * sizeof(float) + 15) / 16 * 16;
    parts_bytes = tiles * std::min(plan.batch_rows, in.rows) * sizeof(HiddenPart);
  }
  size_t bytes() const { return weight_bytes + bias_bytes + parts_bytes; }
};

template <class T>
Status enqueue_hidden_rows(const HiddenRows& in, const HiddenDevice& device, void* bytes, HiddenTotal* totals,
                           float* target_logits, cudaStream_t stream) {
  const HiddenWorkspace<T> workspace(in);
  const HiddenPlan& plan = workspace.plan;
  auto* const target_weight = static_cast<T*>(bytes);
  auto* const target_bias = reinterpret_cast<float*>(static_cast<unsigned char*>(bytes) + workspace.weight_bytes);
  auto* const parts =
      reinterpret_cast<HiddenPart*>(reinterpret_cast<unsigned char*>(target_bias) + workspace.bias_bytes);
  const auto* const hidden = static_cast<const T*>(in.hidden);
  const auto* const weight = static_cast<const T*>(in.weight);
  const auto matrix = [&](const T* data, size_t rows) {
    return HiddenMatrix<T>{data, in.width, static_cast<uint32_t>(rows)};
  };
  HiddenTiles t{};
  t.cap = make_soft_cap(in.softcap);
  t.terms = make_term_parameters(in.temperature);
  for (size_t first = 0; first < in.rows; first += plan.target_rows) {
    const size_t rows = std::min(plan.target_rows, in.rows - first);
    COVN_CUDA_TRY(launch(gather_targets, dim3(static_cast<unsigned>(rows)), dim3(kGatherThreads), 0, stream,
                         reinterpret_cast<const GatheredBytes*>(weight),
                         static_cast<uint32_t>(in.width * sizeof(T) / sizeof(GatheredBytes)), in.bias,
                         in.targets + first, reinterpret_cast<GatheredBytes*>(target_weight), target_bias),
                  "starting a kernel");
    t.rows = t.entries = static_cast<uint32_t>(rows);
    t.bias = in.bias != nullptr ? target_bias : nullptr;
    t.diagonal = target_logits + first;
    COVN_TRY(launch_diagonal(device, matrix(hidden + first * in.width, rows), matrix(target_weight, rows), t, stream));
  }
  t.diagonal = nullptr;
  t.parts = parts;
  for (size_t first = 0; first < in.rows; first += plan.batch_rows) {
    t.rows = static_cast<uint32_t>(std::min(plan.batch_rows, in.rows - first));
    t.targets = in.targets + first;
    t.target_logits = target_logits + first;
    for (size_t entry = 0; entry < in.vocab; entry += plan.stripe_entries) {
      t.first_entry = static_cast<uint32_t>(entry);
      t.entries = static_cast<uint32_t>(std::min(plan.stripe_entries, in.vocab - entry));
      t.bias = in.bias != nullptr ? in.bias + entry : nullptr;
      COVN_TRY(launch_stripe(device, matrix(hidden + first * in.width, t.rows),
                             matrix(weight + entry * in.width, t.entries), t, entry == 0, totals + first, stream));
    }
  }
  return {};
}

}  // namespace

size_t hidden_workspace(const HiddenRows& in) {
  if (in.rows == 0) return 0;
  return with_type(in.dtype, [&]<class T>(T) { return HiddenWorkspace<T>(in).bytes(); });
}

Status enqueue_hidden(const HiddenRows& in, void* workspace, HiddenTotal* totals, float* target_logits,
                      cudaStream_t stream) {
  const size_t unit = in.dtype == DType::f32 ? 4 : 8;
  if (in.width == 0 || in.width % unit != 0) {
    return expected(Code::shape, "a multiple of " + std::to_string(unit), "width", std::to_string(in.width));
  }
  if (in.rows == 0) return {};
  HiddenDevice device;
  COVN_TRY(find_hidden_device(HiddenKernel::automatic, device));
  return with_type(in.dtype, [&]<class T>(T) {
    return enqueue_hidden_rows<T>(in, device, workspace, totals, target_logits, stream);
  });
}

HiddenScore finish_hidden_row(const HiddenTotal& total, float target_logit, double temperature) {
  // The sum holds the term of the largest logit, which is exactly 1.
  const double log_sum = log_double(total.sum), max = total.max;
  const double target = std::min(static_cast<double>(target_logit), max);
  return {(target - max) / temperature - log_sum, log_sum,
          std::max(0.0, log_sum - total.weighted / total.sum / temperature)};
}

Status make_hidden_job(HiddenRequest request, const HiddenOptions& options, std::unique_ptr<ScoreJob>& job) {
  COVN_TRY(check_hidden(request));
  std::vector<ScoredToken> tokens;
  COVN_TRY(scored_tokens(request, tokens));
  HiddenDevice device;
  COVN_TRY(find_hidden_device(options.kernel, device));
  size_t budget = options.device_bytes;
  if (budget == 0) {
    size_t free = 0;
    COVN_TRY(free_memory(free));
    budget = free / 2;
  }
  with_type(request.dtype, [&]<class T>(T) {
    job = std::make_unique<HiddenJob<T>>(std::move(request), std::move(tokens), options, device, budget);
  });
  return {};
}

Status make_hidden_job(HiddenRequest request, std::unique_ptr<ScoreJob>& job) {
  return make_hidden_job(std::move(request), HiddenOptions(), job);
}

}  // namespace covn::cuda
