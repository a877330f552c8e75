#include "cuda/emulator/block.hpp"

#include <link.h>

#include <cstring>
#include <memory>
#include <vector>

#include "cuda/emulator/block_state.hpp"

namespace covn::cuda::emulator {

namespace {

constexpr size_t kGuardBytes = 256;
constexpr int kPoison = 0xff;  // NaN as a float of every size, and -1
// Turns of the scheduler without any rendezvous or end between them, after which waiting loops wait for ever.
constexpr uint64_t kIdleTurns = 4'000'000;

// One grid runs at a time. Never destroyed, so that static destructors may still launch.
Block& block = *new Block;

uint64_t next_random() {
  block.random ^= block.random << 13;
  block.random ^= block.random >> 7;
  block.random ^= block.random << 17;
  return block.random;
}

std::string where(const Place& place) {
  std::string file = place.file_name();
  if (const size_t slash = file.rfind('/'); slash != std::string::npos) file.erase(0, slash + 1);
  return file + ":" + std::to_string(place.line());
}

std::string name_of(const Thread& thread) {
  return "thread " + std::to_string(thread.rank) + " of block (" + std::to_string(blockIdx.x) + ", " +
         std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
}

void make_ready(Thread& thread) {
  thread.waits_for = nullptr;
  block.ready.push_back(thread.rank);
}

Thread* next_thread() {
  std::vector<unsigned>& ready = block.ready;
  if (block.ready_head == ready.size()) return nullptr;
  if (++block.idle_turns > kIdleTurns) {
    block.finding = "the threads of a block wait in loops for what never comes";
    return nullptr;
  }
  if (!block.ordered) {
    std::swap(ready[block.ready_head], ready[block.ready_head + next_random() % (ready.size() - block.ready_head)]);
  }
  Thread* thread = &block.threads[ready[block.ready_head++]];
  if (block.ready_head == ready.size()) {
    ready.clear();
    block.ready_head = 0;
  } else if (block.ready_head > 4096) {
    ready.erase(ready.begin(), ready.begin() + static_cast<ptrdiff_t>(block.ready_head));
    block.ready_head = 0;
  }
  return thread;
}

// Leaves the running thread, which is ready or waits, for another; the scheduler's own context when none can run.
void leave() {
  Thread* from = block.running;
  Thread* to = next_thread();
  if (to == from) return;
  block.running = to;
  if (to == nullptr) {
    switch_context(from->context, block.scheduler);
  } else {
    threadIdx = to->index;
    switch_context(from->context, to->context);
  }
}

void wait_for(const char* what, Place place) {
  block.running->waits_for = what;
  block.running->place = place;
  leave();
}

void complete_group(Warp& warp, size_t index, unsigned first_rank);
// A group whose last missing lanes have ended is complete.
void complete_without_ended(Warp& warp, unsigned first_rank) {
  for (size_t i = 0; i < warp.groups.size(); i++) {
    const Group& group = warp.groups[i];
    if (group.arrived != 0 && group.arrived == (group.mask & warp.present)) {
      complete_group(warp, i, first_rank);
      return complete_without_ended(warp, first_rank);
    }
  }
}

void run_thread() {
  (*block.body)();
  Thread& thread = *block.running;
  thread.done = true;
  block.ended++;
  block.idle_turns = 0;
  Warp& warp = block.warps[thread.rank / kWarp];
  warp.present &= ~(1u << thread.rank % kWarp);
  complete_without_ended(warp, thread.rank / kWarp * kWarp);
  leave();
  __builtin_trap();
}

void complete_group(Warp& warp, size_t index, unsigned first_rank) {
  const Group group = warp.groups[index];
  warp.groups.erase(warp.groups.begin() + static_cast<ptrdiff_t>(index));
  Thread* lanes = &block.threads[first_rank];
  uint64_t results[kWarp] = {};
  combine_lanes(group, lanes, results);
  for (unsigned lane = 0; lane < kWarp; lane++) {
    if (!(group.arrived >> lane & 1)) continue;
    lanes[lane].value = results[lane];
    if (&lanes[lane] != block.running) make_ready(lanes[lane]);
  }
  block.idle_turns = 0;
}

uint64_t collective(const Group& wanted, uint64_t value, int parameter, int width) {
  Thread& self = *block.running;
  const unsigned lane = self.rank % kWarp;
  Warp& warp = block.warps[self.rank / kWarp];
  if (!(wanted.mask >> lane & 1)) stop(name_of(self) + " is not in the mask it passes at " + where(wanted.place));
  self.value = value;
  self.parameter = parameter;
  self.width = width;
  size_t index = 0;
  while (index < warp.groups.size() && warp.groups[index].mask != wanted.mask) index++;
  if (index == warp.groups.size()) {
    warp.groups.push_back(wanted);
  } else if (const Group& met = warp.groups[index];
             met.operation != wanted.operation || met.place.line() != wanted.place.line()) {
    stop(name_of(self) + " is at " + where(wanted.place) + " while lanes of its mask are at " + where(met.place));
  }
  Group& group = warp.groups[index];
  group.arrived |= 1u << lane;
  if (group.arrived == (group.mask & warp.present)) {
    complete_group(warp, index, self.rank - lane);
  } else {
    wait_for("other lanes", wanted.place);
  }
  return self.value;
}

void arrive(Barrier& barrier, unsigned id, unsigned threads, Place place) {
  const unsigned expected = threads == 0 ? static_cast<unsigned>(block.threads.size()) : threads;
  if (barrier.arrived == 0) {
    barrier.expected = expected;
    barrier.place = place;
  } else if (barrier.expected != expected) {
    stop(name_of(*block.running) + " arrives at barrier " + std::to_string(id) + " with another number of threads");
  } else if (threads == 0 && id == 0 && barrier.place.line() != place.line()) {
    stop(name_of(*block.running) + " is at the barrier of " + where(place) + " while others are at that of " +
         where(barrier.place));
  }
  barrier.arrived++;
}

// True where that was the last to arrive.
bool open_if_complete(Barrier& barrier) {
  if (barrier.arrived < barrier.expected) return false;
  const BarrierResult result{barrier.count > 0, barrier.count == barrier.waited, barrier.count};
  for (Thread* thread : barrier.waiting) {
    thread->barrier_result = result;
    if (thread != block.running) make_ready(*thread);
  }
  barrier.waiting.clear();
  barrier.arrived = 0;
  barrier.count = barrier.waited = 0;
  block.idle_turns = 0;
  return true;
}

// Every zero-initialised or other thread-local variable of the module that holds the kernel: its shared memory.
void poison_static_shared(const void* kernel) {
  const auto poison = [](dl_phdr_info* info, size_t, void* address) {
    const ElfW(Phdr)* variables = nullptr;
    bool holds_kernel = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
      const ElfW(Phdr)& header = info->dlpi_phdr[i];
      const ElfW(Addr) start = info->dlpi_addr + header.p_vaddr;
      if (header.p_type == PT_TLS) variables = &header;
      if (header.p_type == PT_LOAD && reinterpret_cast<ElfW(Addr)>(address) - start < header.p_memsz) {
        holds_kernel = true;
      }
    }
    if (!holds_kernel) return 0;
    if (variables != nullptr && info->dlpi_tls_data != nullptr) {
      std::memset(info->dlpi_tls_data, kPoison, variables->p_memsz);
    }
    return 1;
  };
  dl_iterate_phdr(poison, const_cast<void*>(kernel));
}

std::string describe_deadlock() {
  std::string text;
  unsigned waiting = 0;
  for (const Thread& thread : block.threads) {
    if (thread.waits_for == nullptr) continue;
    if (waiting++ == 0) {
      text = name_of(thread) + " waits for " + thread.waits_for + " at " + where(thread.place);
    }
  }
  return text + "; " + std::to_string(waiting) + " of " + std::to_string(block.threads.size()) + " threads wait, " +
         std::to_string(block.ended) + " have ended";
}

void begin_block(const Grid& grid) {
  block.serial++;
  const unsigned count = grid.threads.x * grid.threads.y * grid.threads.z;
  block.threads.resize(count);
  block.warps.assign((count + kWarp - 1) / kWarp, Warp());
  for (Barrier& barrier : block.barriers) barrier = Barrier();
  block.ready.clear();
  block.ready_head = 0;
  block.ended = 0;
  block.idle_turns = 0;
  for (unsigned rank = 0; rank < count; rank++) {
    Thread& thread = block.threads[rank];
    thread.index = {rank % grid.threads.x, rank / grid.threads.x % grid.threads.y,
                    rank / grid.threads.x / grid.threads.y};
    thread.rank = rank;
    thread.done = false;
    thread.waits_for = nullptr;
    begin_context(thread.context, block.stacks[rank], Stacks::kBytes, run_thread);
    block.warps[rank / kWarp].present |= 1u << rank % kWarp;
    block.ready.push_back(rank);
  }
  poison_static_shared(grid.kernel);
  std::memset(block.shared, kPoison, grid.shared_bytes + kGuardBytes);
}

void run_block(const Grid& grid) {
  begin_block(grid);
  block.running = next_thread();
  threadIdx = block.running->index;
  switch_context(block.scheduler, block.running->context);
  if (!block.finding.empty()) return;
  if (block.ended < block.threads.size()) {
    block.finding = describe_deadlock();
    return;
  }
  for (size_t i = 0; i < kGuardBytes; i++) {
    if (static_cast<unsigned char>(block.shared[grid.shared_bytes + i]) != kPoison) {
      block.finding = "a write past the end of dynamic shared memory, at byte " + std::to_string(grid.shared_bytes + i);
      return;
    }
  }
}

// Which block runs as the i-th: all of them once, in an order of the seed.
uint64_t block_order(uint64_t i, uint64_t count, uint64_t seed) {
  if (seed == 0 || count < 2) return i;
  if (seed == 1) return count - 1 - i;
  uint64_t step = (seed * 0x9E3779B97F4A7C15u >> 32) % count;
  const auto common = [](uint64_t a, uint64_t b) {
    while (b != 0) std::swap(a %= b, b);
    return a;
  };
  while (step == 0 || common(step, count) != 1) step = step % count + 1;
  return static_cast<uint64_t>((static_cast<unsigned __int128>(i) * step + seed) % count);
}

}  // namespace

std::string run_grid(const Grid& grid, uint64_t seed, const std::function<void()>& body) {
  const uint64_t count = uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  block.stacks.reserve(size_t{grid.threads.x} * grid.threads.y * grid.threads.z);
  std::unique_ptr<char, void (*)(void*)> shared(
      static_cast<char*>(std::aligned_alloc(1024, (grid.shared_bytes + kGuardBytes + 1023) / 1024 * 1024)), std::free);
  if (shared == nullptr) throw std::bad_alloc();
  block.shared = shared.get();
  block.shared_bytes = grid.shared_bytes;
  block.body = &body;
  block.ordered = seed == 0;
  block.random = seed * 0x9E3779B97F4A7C15u | 1;
  block.finding.clear();
  gridDim = grid.blocks;
  blockDim = grid.threads;
  for (uint64_t i = 0; i < count && block.finding.empty(); i++) {
    const uint64_t at = block_order(i, count, seed);
    blockIdx = {static_cast<unsigned>(at % grid.blocks.x), static_cast<unsigned>(at / grid.blocks.x % grid.blocks.y),
                static_cast<unsigned>(at / grid.blocks.x / grid.blocks.y)};
    run_block(grid);
  }
  return block.finding;
}

void* dynamic_shared() { return block.shared; }
size_t dynamic_shared_bytes() { return block.shared_bytes; }
uint64_t block_serial() { return block.serial; }

void yield() {
  block.ready.push_back(block.running->rank);
  leave();
}

void stop(const std::string& finding) {
  block.finding = finding;
  // Whatever the threads' stacks hold is dropped with them: device code owns nothing.
  switch_context(block.running->context, block.scheduler);
  __builtin_unreachable();
}

BarrierResult barrier_sync(unsigned id, unsigned threads, int predicate, Place place) {
  Barrier& barrier = block.barriers[id % kBarriers];
  Thread& self = *block.running;
  arrive(barrier, id, threads, place);
  barrier.count += predicate != 0;
  barrier.waited++;
  barrier.waiting.push_back(&self);
  if (!open_if_complete(barrier)) wait_for("a barrier", place);
  return self.barrier_result;
}

void barrier_arrive(unsigned id, unsigned threads, Place place) {
  Barrier& barrier = block.barriers[id % kBarriers];
  arrive(barrier, id, threads, place);
  open_if_complete(barrier);
}

uint64_t warp_collective(WarpOperation operation, unsigned mask, uint64_t value, int parameter, int width,
                         Place place) {
  return collective({operation, mask, 0, place}, value, parameter, width);
}

void warp_custom(unsigned mask, void* value, Combine combine, Place place) {
  collective({WarpOperation::custom, mask, 0, place, combine}, reinterpret_cast<uint64_t>(value), 0, 0);
}

unsigned thread_rank() { return block.running->rank; }
unsigned lane_of_thread() { return block.running->rank % kWarp; }

}  // namespace covn::cuda::emulator
