#include <cmath>

#include "covn/hidden.hpp"
#include "kernels/hidden_check.hpp"
#include "kernels/hidden_rows.hpp"
#include "kernels/table.hpp"
#include "kernels/token_outputs.hpp"

namespace covn {

namespace {

// Rows that meet the weights together: many, since each weight is read from memory once for all of them, but no more
// than 16 MiB of packed hidden states.
constexpr size_t kMaxRows = 512;
constexpr size_t kMaxSlots = size_t{1} << 22;
// The vocabulary is cut into at most this many segments, whole tiles each, for the threads; always in the same way.
// Their sums are kept until the last of them ends, and are added in order.
constexpr size_t kMaxSegments = 256;
// Rows of a tile that are turned, to be read as rows of logits are, at a time; divides every target's panel_rows.
constexpr size_t kTurnedRows = 8;

constexpr size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

template <class T>
class HiddenJob final : public ScoreJob {
 public:
  HiddenJob(HiddenRequest request, std::vector<ScoredToken> tokens)
      : request_(std::move(request)),
        scoring_(request_.scoring),
        hidden_(static_cast<const T*>(request_.hidden)),
        weight_(static_cast<const T*>(request_.weight)),
        tokens_(std::move(tokens)),
        kernels_(hidden_kernels_for(scoring_.target, request_.dtype)),
        row_kernels_(kernels_for(scoring_.target).template rows<float>()),
        weighted_(scoring_.entropy != nullptr),
        greater_(scoring_.rank != nullptr),
        parameters_(kernels_for(scoring_.target).parameters(scoring_.temperature, request_.vocab)),
        slots_(slots_of(request_.width, kernels_.slot_elements)),
        block_rows_(std::min(round_up(tokens_.size(), kernels_.panel_rows), block_rows_for(slots_))),
        segment_vocab_(round_up((request_.vocab + kMaxSegments - 1) / kMaxSegments, kTileVocab)),
        segments_((request_.vocab + segment_vocab_ - 1) / segment_vocab_),
        block_count_(tokens_.empty() ? 0 : (tokens_.size() + block_rows_ - 1) / block_rows_),
        blocks_(std::make_unique<HiddenRows[]>(block_count_)),
        workspaces_(block_rows_ / kernels_.panel_rows, kernels_.panel_rows),
        outputs_(scoring_),
        log_probs_(scoring_.rows) {
    for (size_t b = 0; b < block_count_; b++) {
      blocks_[b].tokens = tokens_.data() + b * block_rows_;
      blocks_[b].count = std::min(block_rows_, tokens_.size() - b * block_rows_);
      blocks_[b].open_segments = segments_;
    }
  }

  size_t chunk_count() const override { return block_count_ * segments_; }
  const std::vector<int64_t>& non_finite_rows() const override { return outputs_.non_finite_rows(); }

 protected:
  void run_chunk(size_t chunk) override {
    HiddenRows& block = blocks_[chunk / segments_];
    std::unique_ptr<Workspace> workspace = workspaces_.take();
    // Other threads wait: packing takes less than half a percent of what follows.
    std::call_once(block.packed, [&] { pack(block, *workspace); });
    const bool done = read_segment(block, chunk % segments_, *workspace);
    workspaces_.give_back(std::move(workspace));
    if (done && block.open_segments.fetch_sub(1, std::memory_order_acq_rel) == 1) finish(chunk, block);
  }

  Status merge() override {
    outputs_.write_rows_between(tokens_);
    outputs_.sort();
    return sum_tokens(log_probs_.data(), scoring_.rows, scoring_.offsets, scoring_.sequence);
  }

 private:
  size_t block_rows_for(size_t slots) const {
    const size_t rows = std::min(kMaxRows, kMaxSlots / slots) / kernels_.panel_rows * kernels_.panel_rows;
    return std::max(rows, kernels_.panel_rows);
  }

  // The logits of a tile; false when the job was cancelled.
  bool form(const LogitTile& tile, const float* bias) const {
    const size_t slices = (slots_ + kSlice - 1) / kSlice;
    for (size_t slice = 0; slice < slices; slice++) {
      if (cancelled()) return false;
      kernels_.multiply(tile, slice);
    }
    if (bias != nullptr || request_.softcap != 0.0) kernels_.shape(tile, {bias, request_.softcap});
    return true;
  }

  // Packs the rows and forms their targets' logits with the arithmetic of all others, so that a rank can be counted:
  // the diagonal of a panel's rows by the weights of their targets.
  void pack(HiddenRows& block, Workspace& workspace) const {
    block.panels = pack_panels(hidden_, request_.width, block.tokens, block.count, kernels_);
    block.states.assign(segments_ * block.count, empty_row());
    block.target_logits.resize(block.count);
    const size_t lanes = kernels_.panel_rows;
    for (size_t first = 0; first < block.count; first += lanes) {
      const size_t count = std::min(lanes, block.count - first);
      const void* weights[kMaxPanelRows];
      float bias[kMaxPanelRows];
      for (size_t i = 0; i < count; i++) {
        const size_t target = block.tokens[first + i].target;
        weights[i] = weight_ + target * request_.width;
        bias[i] = request_.bias != nullptr ? request_.bias[target] : 0.0f;
      }
      const float* panel = block.panels.data() + first * slots_;
      const LogitTile tile{
          weights, nullptr, count, request_.width, panel, 1, workspace.staged.data(), workspace.logits.data()};
      if (!form(tile, request_.bias != nullptr ? bias : nullptr)) return;
      for (size_t i = 0; i < count; i++) block.target_logits[first + i] = workspace.logits.data()[i * lanes + i];
    }
  }

  size_t weight_rows(size_t start, const void** rows) const {
    const size_t count = std::min(kTileVocab, request_.vocab - start);
    for (size_t i = 0; i < count; i++) rows[i] = weight_ + (start + i) * request_.width;
    return count;
  }

  // False when the job was cancelled.
  bool read_segment(HiddenRows& block, size_t segment, Workspace& workspace) const {
    const size_t end = std::min(request_.vocab, (segment + 1) * segment_vocab_);
    for (size_t start = segment * segment_vocab_; start < end; start += kTileVocab) {
      const void *weights[kTileVocab], *next[kTileVocab];
      const size_t count = weight_rows(start, weights);
      // Whole tiles have a next one, perhaps a shorter one, within the vocabulary.
      const bool ahead = start + 2 * kTileVocab <= request_.vocab;
      if (ahead) weight_rows(start + kTileVocab, next);
      const LogitTile tile{weights,
                           ahead ? next : nullptr,
                           count,
                           request_.width,
                           block.panels.data(),
                           (block.count + kernels_.panel_rows - 1) / kernels_.panel_rows,
                           workspace.staged.data(),
                           workspace.logits.data()};
      if (!form(tile, request_.bias != nullptr ? request_.bias + start : nullptr)) return false;
      RowState* states = block.states.data() + segment * block.count;
      for (size_t first = 0; first < block.count; first += kTurnedRows) read_rows(block, tile, first, states);
    }
    return true;
  }

  // Adds a tile's logits to rows first .. first + kTurnedRows.
  void read_rows(const HiddenRows& block, const LogitTile& tile, size_t first, RowState* states) const {
    const size_t lanes = kernels_.panel_rows;
    const float* logits = tile.logits + first / lanes * lanes * kTileVocab + first % lanes;
    float rows[kTurnedRows][kTileVocab];
    for (size_t j = 0; j < tile.count; j++) {
      for (size_t i = 0; i < kTurnedRows; i++) rows[i][j] = logits[j * lanes + i];
    }
    const size_t count = std::min(kTurnedRows, block.count - first);
    const float* pointers[kTurnedRows];
    for (size_t i = 0; i < count; i++) pointers[i] = rows[i];
    RowBatch batch;
    row_kernels_.accumulate[weighted_][greater_](pointers, count, tile.count, block.target_logits.data() + first,
                                                 parameters_, batch);
    for (size_t i = 0; i < count; i++) {
      RowState& state = states[first + i];
      if (std::isnan(state.sums.sum)) continue;
      if (std::isnan(batch.sum[i])) {
        state.sums.sum = batch.sum[i];
        state.max = *std::find_if(rows[i], rows[i] + tile.count, [](float x) { return !(x < INFINITY); });
      } else {
        state.add(batch.state(i), parameters_);
      }
    }
  }

  // A row's state from those of its segments; with a NaN sum, `max` is the NaN or infinity that was found.
  RowState total(const HiddenRows& block, size_t index) const {
    RowState total = empty_row();
    for (size_t s = 0; s < segments_; s++) {
      const RowState& part = block.states[s * block.count + index];
      if (std::isnan(part.sums.sum)) {
        total.max = part.max;
        total.sums.sum = part.sums.sum;
        break;
      }
      total.add(part, parameters_);
    }
    if (!(total.sums.sum > 0.0)) total.place = {0.0f, 0};
    return total;
  }

  void finish(size_t chunk, HiddenRows& block) {
    RowBatch batch;
    RowResults results;
    for (size_t first = 0; first < block.count; first += kBatchRows) {
      const size_t count = std::min(kBatchRows, block.count - first);
      for (size_t i = 0; i < count; i++) {
        batch.set(i, total(block, first + i), parameters_);
        batch.target[i] = block.target_logits[first + i];
      }
      row_kernels_.finish[weighted_](batch, count, parameters_, results);
      for (size_t i = 0; i < count; i++) {
        const size_t row = block.tokens[first + i].row;
        if (batch.sum[i] > 0.0) {
          log_probs_[row] = results.token[i];
          outputs_.write_rows(row, i, 1, batch, results);
          continue;
        }
        const float found = batch.max[i];
        Status status = outputs_.write_non_finite(row, "hidden", [found] {
          return std::string(std::isnan(found) ? "NaN" : found > 0 ? "+inf" : "-inf in every column");
        });
        if (!status.ok()) return fail(chunk, row, std::move(status));
        log_probs_[row] = std::numeric_limits<double>::quiet_NaN();
      }
    }
    block.release();
  }

  const HiddenRequest request_;
  const TokenScoring& scoring_;
  const T* const hidden_;
  const T* const weight_;
  const std::vector<ScoredToken> tokens_;
  const HiddenKernels& kernels_;
  const RowKernels<float>& row_kernels_;
  const bool weighted_, greater_;
  const RowParameters parameters_;
  const size_t slots_, block_rows_, segment_vocab_, segments_, block_count_;
  const std::unique_ptr<HiddenRows[]> blocks_;
  Workspaces workspaces_;
  TokenOutputs outputs_;
  std::vector<double> log_probs_;  // [rows], 0 where not scored
};

}  // namespace

Status make_hidden_job(HiddenRequest request, std::unique_ptr<ScoreJob>& job) {
  if (Status status = check_hidden(request); !status.ok()) return status;
  std::vector<ScoredToken> tokens;
  if (Status status = scored_tokens(request, tokens); !status.ok()) return status;
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<HiddenJob<float>>(std::move(request), std::move(tokens)); break;
    case DType::f16: job = std::make_unique<HiddenJob<Float16>>(std::move(request), std::move(tokens)); break;
    case DType::bf16: job = std::make_unique<HiddenJob<BFloat16>>(std::move(request), std::move(tokens)); break;
  }
  return {};
}

}  // namespace covn
