// Which rows of a job are drawn from when: chunks of consecutive rows, and within them turns of rows read at one time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <thread>
#include <vector>

namespace covn {

// Rows first, first + apart, ...
struct RowTurn {
  size_t first = 0, apart = 1, count = 0;
};

class SampleTurns {
 public:
  // Chunks of at most `most` rows, smaller ones at the end, so that threads end together; `together` rows in a turn.
  // They are taken from as many parts of the chunk: as a part's rows follow one another, memory gives them as one
  // stream.
  SampleTurns(size_t rows, size_t most, size_t together, bool streams, size_t threads = processors())
      : together_(std::min(together, most)), most_(most / together_ * together_), streams_(streams) {
    const size_t least = std::max(together_, most_ / kSmallest / together_ * together_);
    const size_t shares = kShares * threads;
    whole_ = rows >= shares * most_ ? (rows - shares * most_) / most_ + 1 : 0;
    for (size_t at = whole_ * most_; at < rows;) {
      at = std::min(rows, at + std::clamp((rows - at) / shares / together_ * together_, least, most_));
      ends_.push_back(at);
    }
  }

  size_t chunks() const { return whole_ + ends_.size(); }
  size_t begin(size_t chunk) const { return chunk == 0 ? 0 : end(chunk - 1); }
  size_t end(size_t chunk) const { return chunk < whole_ ? (chunk + 1) * most_ : ends_[chunk - whole_]; }

  // The turn of a chunk after so many of its rows; of none after the last.
  RowTurn turn(size_t chunk, size_t done) const {
    const size_t first = begin(chunk), size = end(chunk) - first, length = streams_ ? size / together_ : 0;
    if (done < length * together_) return {first + done / together_, length, together_};
    return {first + done, 1, std::min(together_, size - done)};
  }

 private:
  // A chunk is at most so small a part of what is left for each thread, and the smallest such a part of the largest.
  static constexpr size_t kShares = 4, kSmallest = 8;

  static size_t processors() {
    static const size_t count = std::max(1u, std::thread::hardware_concurrency());
    return count;
  }

  const size_t together_, most_;
  const bool streams_;
  size_t whole_ = 0;          // chunks of `most` rows
  std::vector<size_t> ends_;  // of the others
};

}  // namespace covn
