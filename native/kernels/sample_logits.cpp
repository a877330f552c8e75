#include "covn/sample.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/draw_index.hpp"
#include "kernels/logit_filter.hpp"
#include "kernels/table.hpp"
#include "kernels/token_outputs.hpp"

namespace covn {

namespace {

constexpr uint32_t kSampleStream = 2;  // fourth word of the Philox counter

// A chunk reads about this many logits and draws about as many tokens. Where one row gives more tokens, chunks share
// it, and each reads it again.
constexpr size_t kChunkLogits = size_t{1} << 20;
constexpr size_t kChunkDraws = size_t{1} << 17;
constexpr size_t kDrawBatch = 512;
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Rows are read together where they are read once, or fit the cache until they are read again.
constexpr size_t kFewSamples = 8;
constexpr size_t kCachedBytes = size_t{1} << 19;

}  // namespace

void PieceSums::set_prefixes(size_t count) {
  std::fill(groups + count, groups + kPieceGroups, 0.0f);
  // All spans side by side: each sum waits for the one before.
  double sums[kPieceSpans] = {};
  size_t last[kPieceSpans] = {};  // 0 where there is none: memory that changes meanwhile must not lead out of the row
  for (size_t g = 0; g < kSpanGroups; g++) {
    for (size_t s = 0; s < kPieceSpans; s++) {
      const float value = groups[s * kSpanGroups + g];
      last[s] = value > 0.0f ? g : last[s];
      group_prefix[s][g + 1] = sums[s] += static_cast<double>(value);
    }
  }
  size_t last_span = 0;
  total = 0.0;
  for (size_t s = 0; s < kPieceSpans; s++) {
    group_prefix[s][0] = 0.0;
    std::fill(group_prefix[s] + last[s] + 1, group_prefix[s] + kSpanGroups + 1, kInfinity);
    if (sums[s] > 0.0) last_span = s;
    span_prefix[s + 1] = total += sums[s];
  }
  span_prefix[0] = 0.0;
  std::fill(span_prefix + last_span + 1, span_prefix + kPieceSpans + 1, kInfinity);
}

namespace {

template <class T>
class SampleJob final : public Job {
 public:
  explicit SampleJob(const SampleRequest& request)
      : request_(request),
        vocab_(request.vocab),
        logits_(static_cast<const T*>(request.logits)),
        table_(kernels_for(request.target)),
        rows_(table_.rows<T>()),
        kernels_(table_.samples(T{})),
        parameters_(table_.parameters(request.filter.temperature, vocab_)),
        unit_parameters_(table_.parameters(1.0, vocab_)),
        pieces_((vocab_ + kPieceLogits - 1) / kPieceLogits),
        draw_blocks_(std::max<size_t>(1, (request.samples + kChunkDraws - 1) / kChunkDraws)),
        rows_per_chunk_(draw_blocks_ > 1 ? 1
                                         : std::clamp(std::min(kChunkLogits / vocab_, kChunkDraws / request.samples),
                                                      size_t{1}, kBatchRows)) {}

  size_t chunk_count() const override { return (request_.rows + rows_per_chunk_ - 1) / rows_per_chunk_ * draw_blocks_; }

 protected:
  void run_chunk(size_t chunk) override {
    const size_t first = chunk / draw_blocks_ * rows_per_chunk_;
    const size_t end = std::min(request_.rows, first + rows_per_chunk_);
    const size_t from = chunk % draw_blocks_ * kChunkDraws, to = std::min(request_.samples, from + kChunkDraws);
    Scratch scratch(pieces_, request_.filter);
    if (DrawIndexMemory::pays(vocab_, request_.samples)) scratch.index.emplace(vocab_, request_.samples);
    const size_t together = rows_together();
    for (size_t row = first; row < end && !cancelled(); row += together) {
      const size_t count = std::min(together, end - row);
      read_rows(row, count, parameters_, scratch.sampled);
      const bool reuse = request_.filter.temperature == 1.0;
      if (!reuse && request_.log_prob) read_rows(row, count, unit_parameters_, scratch.unit);
      for (size_t i = 0; i < count && !cancelled(); i++) {
        const RowState& raw = reuse || !request_.log_prob ? scratch.sampled.rows[i] : scratch.unit.rows[i];
        sample_row(chunk, row + i, i, raw, from, to, scratch);
      }
    }
  }

 private:
  enum class Formed : uint8_t { nothing, groups, prefixes };
  // What was read of some rows: [rows, pieces] and [rows].
  struct Reading {
    std::vector<RowState> pieces, rows;
  };
  struct Scratch {
    Reading sampled, unit;
    std::vector<PieceSums> pieces;
    std::vector<Formed> formed;  // [pieces]: what of its sums is there
    std::vector<double> prefix;  // as PiecePrefix has it
    LogitFilter filter;
    std::optional<DrawIndexMemory> index;
    PieceDraw draws[kDrawBatch];

    Scratch(size_t piece_count, const SampleFilter& kept)
        : pieces(piece_count), formed(piece_count), prefix(1 + piece_count + kMaxLanes, kInfinity), filter(kept) {}
  };
  // The row that is drawn from.
  struct DrawnRow {
    size_t index;
    const T* logits;
    TermRule rule;
    double total;
  };

  const T* row(size_t index) const { return logits_ + index * vocab_; }
  size_t piece_size(size_t piece) const { return std::min(kPieceLogits, vocab_ - piece * kPieceLogits); }
  size_t piece_groups(size_t piece) const { return (piece_size(piece) + kGroupLogits - 1) / kGroupLogits; }

  size_t rows_together() const {
    if (vocab_ <= kGroupVocab) return kBatchRows;
    const bool few = request_.samples < kFewSamples && request_.filter.keeps_all();
    return few || kRowStreams * vocab_ * sizeof(T) <= kCachedBytes ? kRowStreams : 1;
  }

  // Piece by piece as make_score_job reads them, so that what is merged is the same to the bit.
  void read_rows(size_t first, size_t count, const RowParameters& parameters, Reading& reading) {
    reading.pieces.assign(count * pieces_, RowState());
    reading.rows.assign(count, RowState());
    RowBatch batch;
    const T* parts[kBatchRows];
    const auto read = [&](size_t parts_count, size_t size) {
      rows_.accumulate[0][0](parts, parts_count, size, nullptr, parameters, batch);
    };
    if (count > 1) {
      for (size_t piece = 0; piece < pieces_; piece++) {
        for (size_t i = 0; i < count; i++) parts[i] = row(first + i) + piece * kPieceLogits;
        read(count, piece_size(piece));
        for (size_t i = 0; i < count; i++) reading.pieces[i * pieces_ + piece] = batch.state(i);
      }
    } else {
      // Of a row alone, several whole pieces at a time.
      const size_t whole = vocab_ / kPieceLogits;
      for (size_t piece = 0; piece < pieces_;) {
        const size_t run = piece < whole ? std::min(kBatchRows, whole - piece) : 1;
        for (size_t i = 0; i < run; i++) parts[i] = row(first) + (piece + i) * kPieceLogits;
        read(run, piece_size(piece));
        for (size_t i = 0; i < run; i++) reading.pieces[piece++] = batch.state(i);
      }
    }
    for (size_t i = 0; i < count; i++) merge_pieces(reading.pieces.data() + i * pieces_, parameters, reading.rows[i]);
  }

  // In the segments that rows longer than kMaxWholeRow are scored in.
  void merge_pieces(const RowState* pieces, const RowParameters& parameters, RowState& row) const {
    constexpr size_t kSegmentPieces = kSegment / kPieceLogits;
    const size_t step = vocab_ > kMaxWholeRow ? kSegmentPieces : pieces_;
    for (size_t first = 0; first < pieces_; first += step) {
      RowState segment;
      for (size_t p = first; p < std::min(pieces_, first + step); p++) add_piece(pieces[p], parameters, segment);
      if (step == pieces_) {
        row = segment;
      } else {
        add_piece(segment, parameters, row);
      }
    }
  }

  static void add_piece(const RowState& piece, const RowParameters& parameters, RowState& row) {
    // NaN stays; adding it to a row by places would lose it.
    if (piece.sums.sum != piece.sums.sum || row.sums.sum != row.sums.sum) {
      row.sums.sum = std::numeric_limits<double>::quiet_NaN();
    } else {
      row.add(piece, parameters);
    }
  }

  // log sum_j exp((x_j - max)/T), as the scores have it.
  double log_sum(const RowState& state, const RowParameters& parameters) const {
    RowBatch batch;
    RowResults results;
    batch.set(0, state, parameters);
    batch.target[0] = state.max;
    rows_.finish[0](batch, 1, parameters, results);
    return results.log_sum[0];
  }

  // Samples from .. to of a row, entry `i` of the reading.
  void sample_row(size_t chunk, size_t index, size_t i, const RowState& raw, size_t from, size_t to, Scratch& scratch) {
    const RowState& state = scratch.sampled.rows[i];
    if (!(state.sums.sum > 0.0)) {
      return fail(chunk, index, non_finite_row("logits", index, describe_non_finite(row(index), vocab_)));
    }
    std::fill(scratch.formed.begin(), scratch.formed.end(), Formed::nothing);
    const double sampled_log_sum = log_sum(state, parameters_);
    DrawnRow drawn{index, row(index), {place_of(state.max, parameters_), kLowest, &parameters_}, 0.0};
    LogProbRule sampled{state.max, parameters_.temperature, sampled_log_sum};
    if (request_.filter.keeps_all()) {
      for (size_t p = 0; p < pieces_; p++) {
        RowState piece = scratch.sampled.pieces[i * pieces_ + p];
        piece.move(drawn.rule.place, state.max, parameters_);
        scratch.prefix[p + 1] = drawn.total += piece.sums.sum;
      }
    } else {
      drawn.rule.least = scratch.filter.least_kept(row(index), vocab_, state.max, std::exp(sampled_log_sum));
      for (size_t p = 0; p < pieces_; p++) {
        scratch.prefix[p + 1] = drawn.total += ready_piece(drawn, p, 0.0, scratch).total;
      }
      const Place place = drawn.rule.place;
      const double largest =
          std::exp((static_cast<double>(state.max) - static_cast<double>(place.origin)) / parameters_.temperature -
                   place.octave * kLn2);
      const double few = scratch.filter.few_kept();
      sampled.log_sum = std::max(0.0, std::log(few > 0.0 ? few : drawn.total / largest));
    }
    const LogProbRule unsampled{raw.max, 1.0,
                                &raw == &state      ? sampled_log_sum
                                : request_.log_prob ? log_sum(raw, unit_parameters_)
                                                    : 0.0};
    draw(drawn, from, to, unsampled, sampled, scratch);
  }

  // The sums of the piece's groups, formed for this row; where there is an index, its terms too.
  PieceSums& form_groups(const DrawnRow& drawn, size_t p, Scratch& scratch) const {
    PieceSums& piece = scratch.pieces[p];
    if (scratch.formed[p] == Formed::nothing) {
      const auto& index = scratch.index;
      kernels_.sum_groups[index.has_value()](drawn.logits + p * kPieceLogits, piece_size(p), drawn.rule, piece.groups,
                                             index ? index->terms(p * kPieceGroups) : nullptr);
      scratch.formed[p] = Formed::groups;
    }
    return piece;
  }

  // The piece's sums, formed for this row; `sum`: what the draws that fall into it are parts of, 0 for its own total.
  PieceSums& ready_piece(const DrawnRow& drawn, size_t p, double sum, Scratch& scratch) const {
    PieceSums& piece = form_groups(drawn, p, scratch);
    if (scratch.formed[p] == Formed::groups) {
      piece.set_prefixes(piece_groups(p));
      piece.share = sum > 0.0 ? piece.total / sum : 1.0;
      scratch.formed[p] = Formed::prefixes;
    }
    return piece;
  }

  // From the last piece that holds anything on, no rounding leads past it.
  static void close_prefix(double* prefix, size_t pieces) {
    size_t last = 0;
    prefix[0] = 0.0;
    for (size_t p = 0; p < pieces; p++) last = prefix[p + 1] > prefix[p] ? p : last;
    std::fill(prefix + last + 1, prefix + pieces + 1, kInfinity);
  }

  // None where its proofs would not hold.
  std::optional<DrawIndex> make_index(const DrawnRow& drawn, Scratch& scratch) const {
    if (!scratch.index) return std::nullopt;
    const DrawIndex index = scratch.index->start_row(drawn.total);
    const double* const prefix = scratch.prefix.data();
    double begin = 0.0;
    for (size_t p = 0; p < pieces_; p++) {
      const double end = std::min(prefix[p + 1], drawn.total) / drawn.total;
      double* const bounds = index.bounds + p * kPieceGroups;
      if (end > begin) {
        const float* const groups = form_groups(drawn, p, scratch).groups;
        const double sum = table_.place_groups(groups, piece_groups(p), begin, end - begin, bounds);
        if (!DrawIndexMemory::holds(sum, (end - begin) * drawn.total, drawn.total)) return std::nullopt;
      } else {
        std::fill(bounds, bounds + piece_groups(p), begin);
      }
      begin = end;
    }
    table_.lay_cells(index);
    return index;
  }

  void draw(const DrawnRow& drawn, size_t from, size_t to, const LogProbRule& unsampled, const LogProbRule& sampled,
            Scratch& scratch) const {
    const size_t row = drawn.index;
    const UniformStream stream{request_.seed, request_.sequences[row], request_.positions[row], kSampleStream};
    close_prefix(scratch.prefix.data(), pieces_);
    const std::optional<DrawIndex> index = make_index(drawn, scratch);
    double uniforms[kDrawBatch];
    for (size_t at = from; at < to; at += kDrawBatch) {
      if (cancelled()) return;
      const size_t count = std::min(kDrawBatch, to - at), out = row * request_.samples + at;
      int32_t* const tokens = request_.tokens + out;
      table_.draw_uniforms(stream, static_cast<uint32_t>(request_.first_samples[row] + at), count, uniforms);
      if (index) {
        find_by_index(drawn, *index, uniforms, count, scratch, tokens);
      } else {
        find_tokens(drawn, uniforms, count, scratch, tokens);
      }
      if (request_.log_prob) kernels_.write_log_probs(drawn.logits, tokens, count, unsampled, request_.log_prob + out);
      if (!request_.sampled_log_prob) continue;
      if (request_.log_prob && sampled == unsampled) {
        std::copy_n(request_.log_prob + out, count, request_.sampled_log_prob + out);
      } else {
        kernels_.write_log_probs(drawn.logits, tokens, count, sampled, request_.sampled_log_prob + out);
      }
    }
  }

  // The tokens of count <= kDrawBatch uniforms.
  void find_tokens(const DrawnRow& drawn, const double* uniforms, size_t count, Scratch& scratch,
                   int32_t* tokens) const {
    const double* const prefix = scratch.prefix.data();
    table_.find_pieces({prefix, pieces_, drawn.total}, uniforms, count, scratch.draws);
    for (size_t k = 0; k < count; k++) {
      const size_t p = scratch.draws[k].piece;
      if (scratch.formed[p] == Formed::prefixes) continue;
      ready_piece(drawn, p, std::min(prefix[p + 1], drawn.total) - prefix[p], scratch);
    }
    kernels_.draw_tokens(drawn.logits, vocab_, drawn.rule, scratch.pieces.data(), scratch.draws, count, tokens);
  }

  // The same where the index proves most of them.
  void find_by_index(const DrawnRow& drawn, const DrawIndex& index, const double* uniforms, size_t count,
                     Scratch& scratch, int32_t* tokens) const {
    uint32_t open[kDrawBatch];
    const size_t left = table_.propose_tokens(index, uniforms, count, tokens, open);
    if (left == 0) return;
    double open_uniforms[kDrawBatch];
    int32_t found[kDrawBatch];
    for (size_t k = 0; k < left; k++) open_uniforms[k] = uniforms[open[k]];
    find_tokens(drawn, open_uniforms, left, scratch, found);
    for (size_t k = 0; k < left; k++) tokens[open[k]] = found[k];
  }

  const SampleRequest request_;
  const size_t vocab_;
  const T* const logits_;
  const KernelTable& table_;
  const RowKernels<T>& rows_;
  const SampleKernels<T>& kernels_;
  const RowParameters parameters_, unit_parameters_;
  const size_t pieces_;
  const size_t draw_blocks_, rows_per_chunk_;  // a row's draws, and rows, in chunks
};

Status check_filter(const SampleFilter& filter) {
  if (!(filter.temperature >= 1e-6 && filter.temperature <= 1e6)) {
    return expected(Code::range, "a number in [1e-6, 1e6]", "temperature", std::to_string(filter.temperature));
  }
  if (!(filter.top_p > 0.0 && filter.top_p <= 1.0)) {
    return expected(Code::range, "a number in (0, 1]", "topP", std::to_string(filter.top_p));
  }
  if (!(filter.min_p >= 0.0 && filter.min_p <= 1.0)) {
    return expected(Code::range, "a number in [0, 1]", "minP", std::to_string(filter.min_p));
  }
  return {};
}

Status check(const SampleRequest& request) {
  if (request.vocab < 1 || request.vocab > 0x7fffffff) {
    return expected(Code::range, "an integer in [1, 2^31 - 1]", "vocab", std::to_string(request.vocab));
  }
  if (request.samples < 1 || request.samples > 0x7fffffff) {
    return expected(Code::range, "an integer in [1, 2^31 - 1]", "N", std::to_string(request.samples));
  }
  if (request.logit_count % request.vocab != 0 || request.logit_count / request.vocab != request.rows) {
    return expected(Code::shape, "rows * vocab elements", "logits", std::to_string(request.logit_count));
  }
  for (size_t row = 0; row < request.rows; row++) {
    if (uint64_t{request.first_samples[row]} + request.samples > uint64_t{1} << 32) {
      return expected(Code::range, "a first sample with N more below 2^32", "row " + std::to_string(row),
                      std::to_string(request.first_samples[row]));
    }
  }
  if (const TargetSupport support = target_support(request.target); !support.available) {
    return expected(Code::device, "an available device", "device", support.reason);
  }
  return check_filter(request.filter);
}

}  // namespace

Status make_sample_job(const SampleRequest& request, std::unique_ptr<Job>& job) {
  if (Status status = check(request); !status.ok()) return status;
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<SampleJob<float>>(request); break;
    case DType::f16: job = std::make_unique<SampleJob<Float16>>(request); break;
    case DType::bf16: job = std::make_unique<SampleJob<BFloat16>>(request); break;
  }
  return {};
}

}  // namespace covn
