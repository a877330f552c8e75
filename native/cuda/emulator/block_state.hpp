// The state of an emulated block, shared by the scheduler and the warp collectives.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cuda/emulator/block.hpp"
#include "cuda/emulator/fiber.hpp"

namespace covn::cuda::emulator {

constexpr unsigned kWarp = 32;
constexpr unsigned kBarriers = 16;

struct Thread {
  Context context;
  uint3 index;
  unsigned rank;
  bool done;
  const char* waits_for;  // null where it does not
  Place place;
  uint64_t value;  // passed to a collective, then its result
  int parameter, width;
  BarrierResult barrier_result;
};

struct Barrier {
  unsigned expected = 0, arrived = 0;
  int count = 0, waited = 0;
  Place place;
  std::vector<Thread*> waiting;
};

// Lanes on their way to the same collective.
struct Group {
  WarpOperation operation;
  unsigned mask, arrived = 0;
  Place place;
  Combine combine = nullptr;
};

struct Warp {
  unsigned present = 0;  // lanes that exist and have not ended
  std::vector<Group> groups;
};

struct Block {
  uint64_t serial = 0;
  Stacks stacks;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Barrier barriers[kBarriers];
  std::vector<unsigned> ready;
  size_t ready_head = 0;
  Context scheduler;
  Thread* running = nullptr;
  unsigned ended = 0;
  uint64_t random = 0, idle_turns = 0;
  bool ordered = true;
  const std::function<void()>* body = nullptr;
  std::string finding;
  char* shared = nullptr;
  size_t shared_bytes = 0;
};

// The results of a complete group, one for each lane that arrived; lanes[0 .. 32) are the warp's threads.
void combine_lanes(const Group& group, const Thread* lanes, uint64_t results[kWarp]);

}  // namespace covn::cuda::emulator
