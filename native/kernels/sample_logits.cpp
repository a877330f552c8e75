#include "covn/sample.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "kernels/row_pieces.hpp"
#include "kernels/sample_check.hpp"
#include "kernels/sample_plan.hpp"
#include "kernels/sample_scratch.hpp"
#include "kernels/table.hpp"
#include "kernels/token_outputs.hpp"

namespace covn {

namespace {

constexpr uint32_t kSampleStream = 2;  // fourth word of the Philox counter

// Asking for the next row goes in steps: in a batch of draws (of more than 2048 bytes, a step would wait for requests
// to be answered), and while a piece's groups are summed; where groups are summed while they are read, one when they
// are placed.
constexpr size_t kStepsAhead = 3, kPieceParts = 16;
constexpr size_t kPartLogits = kPieceLogits / kPieceParts;
// The sums of a span's terms formed in two ways differ by less than 2^-18 of themselves, and so does a piece's; places
// within a piece, as a draw's rest and the piece's sum say, are rounded in double by less than 2^-41 of it.
constexpr double kSpanMargin = 0x1p-17, kTotalMargin = 0x1p-40;
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Rows, at most, before another is tried to be read together with the sums of its groups; such low logits as few rows
// have are expected no longer after so many.
constexpr size_t kMostWaiting = 15, kRowsClamped = 16;

template <class T>
class SampleJob final : public Job {
 public:
  explicit SampleJob(const SampleRequest& request)
      : request_(request),
        vocab_(request.vocab),
        table_(kernels_for(request.target)),
        rows_(static_cast<const T*>(request.logits), vocab_, table_),
        kernels_(table_.samples(T{})),
        parameters_(table_.parameters(request.filter.temperature, vocab_)),
        unit_parameters_(table_.parameters(1.0, vocab_)),
        plan_(request, sizeof(T), table_.lanes) {}

  size_t chunk_count() const override { return plan_.turns.chunks() * plan_.row_chunks; }

 protected:
  void run_chunk(size_t chunk) override {
    const size_t rows = chunk / plan_.row_chunks;
    const size_t from = chunk % plan_.row_chunks * SamplePlan::kRowDraws,
                 to = std::min(request_.samples, from + SamplePlan::kRowDraws);
    const SampleScratches::Lease lease = scratches_.lease([&] { return make_scratch(); });
    Scratch& scratch = *lease;
    size_t done = 0;
    for (RowTurn turn = plan_.turns.turn(rows, 0); turn.count > 0 && !cancelled();
         turn = plan_.turns.turn(rows, done)) {
      if (!read_groups(turn.first, scratch)) rows_.read(turn, parameters_, plan_.alone, scratch.sampled);
      done += turn.count;
      scratch.next_rows = read_ahead(chunk, done, to - from, scratch);
      const bool reuse = request_.filter.temperature == 1.0;
      if (!reuse && request_.log_prob) rows_.read(turn, unit_parameters_, false, scratch.unit);
      for (size_t i = 0; i < turn.count && !cancelled(); i++) {
        sample_row(chunk, turn.first + i * turn.apart, i, reuse || !request_.log_prob ? scratch.sampled : scratch.unit,
                   from, to, scratch);
      }
    }
  }

 private:
  using Scratch = SampleScratch;
  using Formed = SampleScratch::Formed;
  // What of a row is drawn.
  struct Drawn {
    DrawnRow<T> row;
    size_t index, entry;  // in the request, and of the reading
    double total;
  };

  std::unique_ptr<Scratch> make_scratch() const {
    auto scratch = std::make_unique<Scratch>(rows_.pieces(), request_.filter);
    if (plan_.indexed) scratch->index.emplace(vocab_, request_.samples);
    return scratch;
  }

  // Of the rows of a chunk's next turn, or after its last those of the chunk that this thread takes next where all that
  // are at work take turns; in the steps that drawing from the rows before takes.
  ReadAhead read_ahead(size_t chunk, size_t done, size_t draws, const Scratch& scratch) const {
    const size_t rows = chunk / plan_.row_chunks;
    RowTurn next = plan_.turns.turn(rows, done);
    if (next.count == 0) {
      const size_t after = (chunk + scratches_.leased()) / plan_.row_chunks;
      if (after == rows || after >= plan_.turns.chunks()) return {};
      next = plan_.turns.turn(after, 0);
    }
    if (vocab_ < kPieceLogits || (plan_.grouped && table_.lanes < kMaxLanes)) return {};
    const size_t parts = scratch.grouped ? rows_.pieces() : kPieceParts * (plan_.indexed ? rows_.pieces() : 1);
    const size_t steps = next.count * (parts + kStepsAhead * draws / kDrawBatch);
    return {rows_.row(next.first), next.count, next.apart * vocab_ * sizeof(T), plan_.bytes_ahead, steps, by_page_};
  }

  // Samples from .. to of a row, entry `i` of its readings; `raw`: the one of its logits as they are.
  void sample_row(size_t chunk, size_t index, size_t i, const RowReading& raw, size_t from, size_t to,
                  Scratch& scratch) {
    const RowState& state = scratch.sampled.rows[i];
    if (!(state.sums.sum > 0.0)) {
      return fail(chunk, index, non_finite_row("logits", index, describe_non_finite(rows_.row(index), vocab_)));
    }
    std::fill(scratch.formed.begin(), scratch.formed.end(), scratch.grouped ? Formed::groups : Formed::nothing);
    const double sampled_log_sum = scratch.sampled.log_sums[i];
    const bool unit = state.unit_max && request_.filter.keeps_all();
    Drawn drawn{
        {rows_.row(index), vocab_, {place_of(state.max, parameters_), unit, kLowest, &parameters_}}, index, i, 0.0};
    LogProbRule sampled{state.max, parameters_.temperature, sampled_log_sum};
    if (request_.filter.keeps_all()) {
      for (size_t p = 0; p < rows_.pieces(); p++) {
        RowState piece = scratch.sampled.pieces[i * rows_.pieces() + p];
        piece.move(drawn.row.rule.place, state.max, parameters_);
        scratch.prefix[p + 1] = drawn.total += piece.sums.sum;
      }
    } else {
      drawn.row.rule.least = scratch.filter.least_kept(rows_.row(index), vocab_, state.max, std::exp(sampled_log_sum));
      for (size_t p = 0; p < rows_.pieces(); p++) {
        scratch.prefix[p + 1] = drawn.total += ready_piece(drawn, p, 0.0, scratch).total;
      }
      const Place place = drawn.row.rule.place;
      const double largest =
          std::exp((static_cast<double>(state.max) - static_cast<double>(place.origin)) / parameters_.temperature -
                   place.octave * kLn2);
      const double few = scratch.filter.few_kept();
      sampled.log_sum = std::max(0.0, std::log(few > 0.0 ? few : drawn.total / largest));
    }
    draw(drawn, from, to, {raw.rows[i].max, 1.0, raw.log_sums[i]}, sampled, scratch);
  }

  // Reads a row together with the sums of its groups, where enough are needed; false where that cannot be.
  bool read_groups(size_t index, Scratch& scratch) const {
    scratch.grouped.reset();
    if (!plan_.grouped) return false;
    if (scratch.waiting > 0) {
      scratch.waiting--;
      return false;
    }
    const T* const x = rows_.row(index);
    RowReading& reading = scratch.sampled;
    if (index % kRowsClamped == 0) scratch.clamped = false;
    // Near the place of the row before, or of the largest of the first few.
    const float guess = reading.rows.empty() ? rows_.largest(index, kGroupVocab) : reading.rows[0].max;
    const Place place = place_of(guess, parameters_);
    reading.pieces.resize(rows_.pieces());
    ReadAhead rest;  // narrow vectors ask for it themselves
    if (table_.lanes == kMaxLanes)
      rest = {x + plan_.bytes_ahead / sizeof(T),   1,       0, vocab_ * sizeof(T) - plan_.bytes_ahead,
              vocab_ / (kGroupLogits * kMaxLanes), by_page_};
    for (size_t p = 0; p < rows_.pieces(); p++) {
      if (!kernels_.read_groups(x + p * kPieceLogits, rows_.piece_size(p), rest, parameters_, place, scratch.clamped,
                                reading.pieces[p], scratch.pieces[p].groups)) {
        reading.rows.clear();
        scratch.waiting = scratch.unsuited;
        scratch.unsuited = std::min(2 * scratch.unsuited + 1, kMostWaiting);
        return false;
      }
    }
    scratch.unsuited = 0;
    rows_.merge_one(parameters_, reading);
    scratch.grouped = place;
    return true;
  }

  // By how much the sums of groups are larger than those of pieces.
  static double terms_scale(const Drawn& drawn) { return drawn.row.rule.unit ? kSquareScale : 1.0; }

  // The sums of the piece's groups, formed for this row.
  PieceSums& form_groups(const Drawn& drawn, size_t p, Scratch& scratch) const {
    PieceSums& piece = scratch.pieces[p];
    if (scratch.formed[p] == Formed::nothing) {
      const size_t size = rows_.piece_size(p);
      for (size_t at = 0; at < size; at += kPartLogits) {
        scratch.next_rows.step();
        kernels_.sum_groups(drawn.row.logits + p * kPieceLogits + at, std::min(kPartLogits, size - at), drawn.row.rule,
                            piece.groups + at / kGroupLogits);
      }
      scratch.formed[p] = Formed::groups;
    }
    return piece;
  }

  // The piece's sums, formed for this row; `sum`: what the draws that fall into it are parts of, 0 for its own total.
  PieceSums& ready_piece(const Drawn& drawn, size_t p, double sum, Scratch& scratch) const {
    PieceSums& piece = form_groups(drawn, p, scratch);
    if (scratch.formed[p] == Formed::prefixes) return piece;
    piece.set_prefixes(rows_.piece_groups(p));
    piece.share = sum > 0.0 ? piece.total / sum : 1.0;
    scratch.formed[p] = Formed::prefixes;
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
  std::optional<DrawIndex> make_index(const Drawn& drawn, Scratch& scratch) const {
    if (!scratch.index) return std::nullopt;
    const DrawIndex index = scratch.index->start_row(drawn.total * terms_scale(drawn));
    // Of the sums of groups; the octave changes no rounding.
    const int octaves = scratch.grouped ? scratch.grouped->octave - drawn.row.rule.place.octave : 0;
    const double* const prefix = scratch.prefix.data();
    double begin = 0.0;
    for (size_t p = 0; p < rows_.pieces(); p++) {
      const double end = std::min(prefix[p + 1], drawn.total) / drawn.total;
      double* const bounds = index.bounds + p * kPieceGroups;
      if (end > begin) {
        const float* const groups = form_groups(drawn, p, scratch).groups;
        scratch.next_rows.step();
        const double sum = table_.place_groups(groups, rows_.piece_groups(p), begin, end - begin, bounds);
        if (!DrawIndexMemory::holds(std::ldexp(sum, octaves), (end - begin) * index.total, index.total))
          return std::nullopt;
      } else {
        std::fill(bounds, bounds + rows_.piece_groups(p), begin);
      }
      begin = end;
    }
    kernels_.lay_cells(drawn.row, index);
    return index;
  }

  // Those of draws at .. at + count.
  void draw_uniforms(const UniformStream& stream, uint32_t first, size_t at, size_t count, double* uniforms) const {
    if (request_.listed == nullptr) {
      table_.draw_uniforms(stream, static_cast<uint32_t>(first + at), count, uniforms);
      return;
    }
    for (size_t k = 0; k < count; k++) table_.draw_uniforms(stream, first + request_.listed[at + k], 1, uniforms + k);
  }

  void draw(const Drawn& drawn, size_t from, size_t to, const LogProbRule& unsampled, const LogProbRule& sampled,
            Scratch& scratch) const {
    const size_t row = drawn.index;
    const UniformStream stream{request_.seed, request_.sequences[row], request_.positions[row], kSampleStream};
    close_prefix(scratch.prefix.data(), rows_.pieces());
    const std::optional<DrawIndex> index = make_index(drawn, scratch);
    double uniforms[kDrawBatch];
    for (size_t at = from; at < to; at += kDrawBatch) {
      if (cancelled()) return;
      const size_t count = std::min(kDrawBatch, to - at), out = row * request_.samples + at;
      int32_t* const tokens = request_.tokens + out;
      scratch.next_rows.step();
      draw_uniforms(stream, request_.first_samples[row], at, count, uniforms);
      scratch.next_rows.step();
      if (index) {
        find_by_index(drawn, *index, uniforms, count, scratch, tokens);
      } else {
        find_tokens(drawn, uniforms, count, scratch, tokens);
      }
      scratch.next_rows.step();
      if (request_.log_prob)
        kernels_.write_log_probs(drawn.row.logits, tokens, count, unsampled, request_.log_prob + out);
      if (!request_.sampled_log_prob) continue;
      if (request_.log_prob && sampled == unsampled) {
        std::copy_n(request_.log_prob + out, count, request_.sampled_log_prob + out);
      } else {
        kernels_.write_log_probs(drawn.row.logits, tokens, count, sampled, request_.sampled_log_prob + out);
      }
    }
  }

  // What the draws that fall into a piece are parts of.
  double piece_sum(const Drawn& drawn, size_t p, const Scratch& scratch) const {
    return std::min(scratch.prefix[p + 1], drawn.total) - scratch.prefix[p];
  }

  // The token of a draw from a piece whose sums are not there, where no rounding of theirs could make it another one:
  // its span is found by the sums of the first reading, and only that span's groups are formed.
  std::optional<int32_t> find_alone(const Drawn& drawn, const PieceDraw& draw, Scratch& scratch) const {
    const RowReading& reading = scratch.sampled;
    const size_t read = drawn.entry * rows_.pieces() + draw.piece, whole = rows_.piece_size(draw.piece) / kSpanLogits;
    if (reading.spans.empty()) return std::nullopt;
    const double* const ends = reading.spans.data() + read * kPieceSpans;
    const double total = piece_sum(drawn, draw.piece, scratch);
    const double scale = total / reading.pieces[read].sums.sum;
    size_t span = 0;
    for (size_t s = 0; s < whole; s++) span += ends[s] * scale <= draw.rest ? 1 : 0;
    if (span == whole) return std::nullopt;
    const double begin = span > 0 ? ends[span - 1] * scale : 0.0;
    const double sum = ends[span] * scale - begin, rest = draw.rest - begin;
    const double margin = (std::min(draw.rest, total - draw.rest) + sum) * kSpanMargin + total * kTotalMargin;
    if (!(rest > margin && rest + margin < sum)) return std::nullopt;
    const size_t at = draw.piece * kPieceLogits + span * kSpanLogits;
    PieceSums& piece = scratch.pieces[draw.piece];
    kernels_.sum_groups(drawn.row.logits + at, kSpanLogits, drawn.row.rule, piece.groups + span * kSpanGroups);
    piece.set_only_span(span);
    const double per_term = terms_scale(drawn);
    const PieceDraw both[2] = {{draw.piece, (rest - margin) * per_term}, {draw.piece, (rest + margin) * per_term}};
    int32_t tokens[2];
    kernels_.draw_tokens(drawn.row, scratch.pieces.data(), both, 2, tokens);
    return tokens[0] == tokens[1] ? std::optional(tokens[0]) : std::nullopt;
  }

  void ready_drawn_piece(const Drawn& drawn, size_t p, Scratch& scratch) const {
    if (scratch.formed[p] == Formed::prefixes) return;
    ready_piece(drawn, p, piece_sum(drawn, p, scratch), scratch);
  }

  // The tokens of draws whose pieces are known.
  void find_few(const Drawn& drawn, size_t count, Scratch& scratch, int32_t* tokens) const {
    for (const PieceDraw* draw = scratch.draws; draw < scratch.draws + count; draw++, tokens++) {
      if (scratch.formed[draw->piece] == Formed::nothing) {
        if (const std::optional<int32_t> token = find_alone(drawn, *draw, scratch)) {
          *tokens = *token;
          continue;
        }
      }
      ready_drawn_piece(drawn, draw->piece, scratch);
      kernels_.draw_tokens(drawn.row, scratch.pieces.data(), draw, 1, tokens);
    }
  }

  // The tokens of count <= kDrawBatch uniforms.
  void find_tokens(const Drawn& drawn, const double* uniforms, size_t count, Scratch& scratch, int32_t* tokens) const {
    const double* const prefix = scratch.prefix.data();
    table_.find_pieces({prefix, rows_.pieces(), drawn.total}, uniforms, count, scratch.draws);
    if (plan_.alone) return find_few(drawn, count, scratch, tokens);
    for (size_t k = 0; k < count; k++) ready_drawn_piece(drawn, scratch.draws[k].piece, scratch);
    kernels_.draw_tokens(drawn.row, scratch.pieces.data(), scratch.draws, count, tokens);
  }

  // The same where the index proves most of them.
  void find_by_index(const Drawn& drawn, const DrawIndex& index, const double* uniforms, size_t count, Scratch& scratch,
                     int32_t* tokens) const {
    uint32_t open[kDrawBatch];
    const size_t left = kernels_.propose_tokens(drawn.row, index, uniforms, count, tokens, open);
    if (left == 0) return;
    double open_uniforms[kDrawBatch];
    int32_t found[kDrawBatch];
    for (size_t k = 0; k < left; k++) open_uniforms[k] = uniforms[open[k]];
    find_tokens(drawn, open_uniforms, left, scratch, found);
    for (size_t k = 0; k < left; k++) tokens[open[k]] = found[k];
  }

  const SampleRequest request_;
  const size_t vocab_;
  const KernelTable& table_;
  const RowPieces<T> rows_;
  const SampleKernels<T>& kernels_;
  const RowParameters parameters_, unit_parameters_;
  const SamplePlan plan_;
  const bool by_page_ = prefetches_within_pages();
  SampleScratches scratches_;
};

}  // namespace

Status make_sample_job(const SampleRequest& request, std::unique_ptr<Job>& job) {
  if (Status status = check_samples(request); !status.ok()) return status;
  switch (request.dtype) {
    case DType::f32: job = std::make_unique<SampleJob<float>>(request); break;
    case DType::f16: job = std::make_unique<SampleJob<Float16>>(request); break;
    case DType::bf16: job = std::make_unique<SampleJob<BFloat16>>(request); break;
  }
  return {};
}

}  // namespace covn
