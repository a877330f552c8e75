// What Best-of-N jobs of all devices refuse, keep and write.
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "model/follower.hpp"

namespace covn {

// A response kept, and the order in which they are: the higher reward first, then the lower sample.
struct Kept {
  double reward;
  uint32_t sample;
  double log_prob;

  bool before(const Kept& other) const {
    return reward != other.reward ? reward > other.reward : sample < other.sample;
  }
};

// The best of the responses added. The worst of them is on top of a heap.
class KeptList {
 public:
  explicit KeptList(size_t size) : size_(size) {}

  void add(const Kept& response) {
    if (heap_.size() < size_) {
      heap_.push_back(response);
      std::push_heap(heap_.begin(), heap_.end(), before);
    } else if (size_ > 0 && response.before(heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), before);
      heap_.back() = response;
      std::push_heap(heap_.begin(), heap_.end(), before);
    }
  }
  const std::vector<Kept>& any_order() const { return heap_; }
  std::vector<Kept> best_first() && {
    std::sort_heap(heap_.begin(), heap_.end(), before);
    return std::move(heap_);
  }

 private:
  static bool before(const Kept& a, const Kept& b) { return a.before(b); }

  size_t size_;
  std::vector<Kept> heap_;
};

inline void write_kept(const BestOfNRequest& request, size_t p, KeptList kept) {
  const std::vector<Kept> best_kept = std::move(kept).best_first();
  for (size_t k = 0; k < request.keep; k++) {
    const size_t at = p * request.keep + k;
    const bool there = k < best_kept.size();
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    request.kept_rewards[at] = there ? best_kept[k].reward : kNone;
    request.kept_samples[at] = there ? best_kept[k].sample : -1.0;
    request.kept_log_probs[at] = there ? best_kept[k].log_prob : kNone;
  }
}

inline Status check_sizes(const BestOfNRequest& request) {
  const std::vector<uint64_t>& sizes = request.sizes;
  if (request.samples < 1 || request.samples > uint64_t{1} << 31) {
    return expected(Code::range, "an integer in [1, 2^31]", "N", std::to_string(request.samples));
  }
  bool ascending = !sizes.empty() && sizes.front() >= 1 && sizes.back() == request.samples;
  for (size_t k = 1; k < sizes.size(); k++) ascending = ascending && sizes[k] > sizes[k - 1];
  if (!ascending) return expected(Code::range, "ascending sizes, N last", "sizes", "others");
  if (request.keep > 65536) return expected(Code::range, "at most 65536", "keep", std::to_string(request.keep));
  return {};
}

inline Status check_best_of_n(const BestOfNRequest& request) {
  if (Status status = check_sizes(request); !status.ok()) return status;
  Status status = check_rollouts(*request.model, request.prompts.data(), request.prompts.size(), request.max_length,
                                 request.target);
  return status.ok() ? RewardTables::check(request.reward, *request.model) : status;
}

}  // namespace covn
