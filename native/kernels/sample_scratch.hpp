// What a thread needs while it draws from rows, handed on from chunk to chunk.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/read_ahead.hpp"
#include "kernels/draw_index.hpp"
#include "kernels/logit_filter.hpp"
#include "kernels/row_pieces.hpp"
#include "kernels/sample_table.hpp"

namespace covn {

constexpr size_t kDrawBatch = 128;

struct SampleScratch {
  enum class Formed : uint8_t { nothing, groups, prefixes };

  RowReading sampled, unit;
  std::vector<PieceSums> pieces;
  std::vector<Formed> formed;  // [pieces]: what of its sums is there
  std::vector<double> prefix;  // as PiecePrefix has it
  LogitFilter filter;
  std::optional<DrawIndexMemory> index;
  bool clamped = false;  // whether rows are to be expected to hold logits far below their largest
  // Rows in turn that could not be read together with the sums of their groups make as many wait until the next try.
  size_t unsuited = 0, waiting = 0;
  std::optional<Place> grouped;  // where a row was read together with the sums of its groups
  PieceDraw draws[kDrawBatch];
  ReadAhead next_rows;
  std::unique_ptr<SampleScratch> next;  // where nobody uses it

  SampleScratch(size_t piece_count, const SampleFilter& kept)
      : pieces(piece_count),
        formed(piece_count),
        prefix(1 + piece_count + kMaxLanes, std::numeric_limits<double>::infinity()),
        filter(kept) {}
};

// As many as there are threads at work.
class SampleScratches {
 public:
  struct GiveBack {
    SampleScratches* all;
    void operator()(SampleScratch* scratch) const { all->give_back(scratch); }
  };
  using Lease = std::unique_ptr<SampleScratch, GiveBack>;

  // make(): a new one.
  template <class Make>
  Lease lease(const Make& make) {
    std::unique_ptr<SampleScratch> one = take();
    if (!one) one = make();
    leased_.fetch_add(1, std::memory_order_relaxed);
    return Lease(one.release(), GiveBack{this});
  }

  size_t leased() const { return leased_.load(std::memory_order_relaxed); }

 private:
  std::unique_ptr<SampleScratch> take() {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<SampleScratch> first = std::move(idle_);
    if (first) idle_ = std::move(first->next);
    return first;
  }
  void give_back(SampleScratch* scratch) {
    leased_.fetch_sub(1, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    scratch->next = std::move(idle_);
    idle_.reset(scratch);
  }

  std::mutex mutex_;
  std::unique_ptr<SampleScratch> idle_;  // and those that follow it
  std::atomic<size_t> leased_{0};
};

}  // namespace covn
