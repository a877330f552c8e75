// A plain rollout by alias tables: one response after another, whole 128-bit products. It shares no code with the
// kernels but the types of the tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/philox.hpp"
#include "kernels/rollout_lanes.hpp"

namespace covn::reference {

struct Rollout {
  std::vector<int32_t> tokens;
  uint64_t state, surprisal, follow;
  double follow_log_prob;
};

// The entry that 96 random bits choose in a row of alias tables.
inline uint64_t alias_entry(const RolloutTables& tables, uint64_t first, uint64_t width, uint32_t word, uint64_t more) {
  using Wide = unsigned __int128;
  // bits * width / 2^96: the column before the point, 64 bits of the place in it after.
  const Wide bits = static_cast<Wide>(word) << 64 | more;
  const Wide product = bits * width;  // below 2^128, as the width is below 2^32
  const auto column = static_cast<uint64_t>(product >> 96);
  const auto place = static_cast<uint64_t>(product >> 32);
  return place < tables.thresholds[first + column] ? column : tables.columns[first + column] & 0xffffffffu;
}

inline Rollout roll_out(const RolloutTables& tables, const FollowTables* follow, uint64_t seed, uint32_t sequence,
                        uint32_t sample, uint64_t start, uint64_t follow_start, std::size_t max_length) {
  Rollout out{{}, start, 0, follow_start, 0.0};
  for (uint32_t h = 0; h < max_length && out.state != tables.end; h++) {
    const uint32_t word = philox4x32({sequence, h / 4, sample, 4}, seed)[h % 4];
    const PhiloxCounter more = philox4x32({sequence, h, sample, 5}, seed);
    const uint64_t row = tables.rows != nullptr ? tables.rows[out.state] : 0;
    const uint64_t first = tables.rows != nullptr ? row & 0xffffffffu : out.state * tables.width;
    const uint64_t width = tables.rows != nullptr ? row >> 32 : tables.width;
    const uint64_t entry = first + alias_entry(tables, first, width, word, uint64_t{more[0]} << 32 | more[1]);
    const uint64_t token = tables.tokens != nullptr ? tables.tokens[entry] : entry - first;
    out.tokens.push_back(static_cast<int32_t>(token));
    out.state = tables.outcomes[entry] & 0xffffffu;
    out.surprisal += tables.outcomes[entry] >> 24;
    if (follow == nullptr) continue;
    const uint64_t at = out.follow + (follow->classes != nullptr ? follow->classes[token] : token);
    out.follow = follow->next[at];
    if (follow->log_probs != nullptr) out.follow_log_prob += follow->log_probs[at];
  }
  return out;
}

}  // namespace covn::reference
