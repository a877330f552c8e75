// Responses of a tabular model in the lanes of the rollout kernel, advanced until all have ended.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/table.hpp"
#include "model/tabular_machine.hpp"

namespace covn {

// What reads responses along as they are drawn.
struct Follower {
  FollowTables tables;
  std::vector<uint64_t> starts;  // [prompts], as FollowTables has states
};

struct ResponseId {
  uint32_t prompt, sample;
};

// Where the tokens of kRolloutLanes responses go: those of lane i from begin[i * stride] on. Rows grow as far as
// responses are long; lent ones have room for the longest.
class RolloutRows {
 public:
  RolloutRows() = default;
  RolloutRows(int32_t* lent, size_t stride) : begin(lent), stride(stride) {}

  // A length of rows that `length` tokens fit, which the kernel writes by fours.
  static constexpr size_t row_of(size_t length) { return (length + 3) / 4 * 4; }
  // Makes room for `length` tokens in each row, of which `used` are there, and of `longest` at most.
  void reserve(size_t length, size_t used, size_t longest) {
    if (length <= stride) return;
    const size_t longer = row_of(std::min(longest, std::max(length, 2 * stride)));
    auto rows = std::make_unique_for_overwrite<int32_t[]>(kRolloutLanes * longer);
    for (size_t i = 0; i < kRolloutLanes && used > 0; i++) std::copy_n(begin + i * stride, used, &rows[i * longer]);
    own_ = std::move(rows);
    begin = own_.get();
    stride = longer;
  }

  int32_t* begin = nullptr;
  size_t stride = 0;

 private:
  std::unique_ptr<int32_t[]> own_;
};

class Rollouts {
 public:
  Rollouts(const TabularMachine& machine, const Follower* follower, uint64_t seed, size_t max_length, Target target)
      : machine_(machine),
        follower_(follower),
        seed_(seed),
        max_length_(max_length),
        roll_out_(kernels_for(target).roll_out[machine.sparse()][follower != nullptr]) {}

  // Draws count <= kRolloutLanes responses into `lanes`, and their tokens into `rows`, unless that is null. Stops
  // early, what it leaves meaning nothing, when cancelled() says so.
  template <class Cancelled>
  void run(const ResponseId* ids, size_t count, RolloutLanes& lanes, RolloutRows* rows,
           const Cancelled& cancelled) const {
    const uint64_t end = machine_.tables().end;
    for (size_t lane = 0; lane < kRolloutLanes; lane++) {
      const bool used = lane < count;
      lanes.sequence[lane] = used ? ids[lane].prompt : 0;
      lanes.sample[lane] = used ? ids[lane].sample : 0;
      lanes.state[lane] = used ? machine_.start(ids[lane].prompt) : end;
      lanes.surprisal[lane] = lanes.length[lane] = 0;
      lanes.follow[lane] = used && follower_ != nullptr ? follower_->starts[ids[lane].prompt] : 0;
      lanes.follow_log_prob[lane] = 0.0;
    }
    const FollowTables none{};
    for (size_t position = 0; position < max_length_ && !cancelled(); position += kSlice) {
      const size_t steps = std::min(kSlice, max_length_ - position);
      if (rows != nullptr) rows->reserve(position + steps, position, max_length_);
      roll_out_(machine_.tables(), follower_ != nullptr ? follower_->tables : none, seed_, position, steps, lanes,
                rows != nullptr ? rows->begin + position : nullptr, rows != nullptr ? rows->stride : 0);
      if (std::all_of(lanes.state, lanes.state + count, [&](uint64_t state) { return state == end; })) break;
    }
  }

  bool ended(const RolloutLanes& lanes, size_t lane) const { return lanes.state[lane] == machine_.tables().end; }
  static double log_prob(const RolloutLanes& lanes, size_t lane) {
    return 0.0 -
           static_cast<double>(static_cast<int64_t>(lanes.surprisal[lane])) * (1.0 / (uint64_t{1} << kSurprisalBits));
  }

 private:
  static constexpr size_t kSlice = 256;

  const TabularMachine& machine_;
  const Follower* const follower_;
  const uint64_t seed_;
  const size_t max_length_;
  const RollOut roll_out_;
};

// Prompts, length and device of a request.
Status check_rollouts(const TabularModel& model, const uint32_t* prompts, size_t count, size_t max_length,
                      Target target);

}  // namespace covn
