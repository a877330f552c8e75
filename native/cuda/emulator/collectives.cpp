#include "cuda/emulator/block_state.hpp"

namespace covn::cuda::emulator {

namespace {

constexpr uint64_t kUndefined = ~uint64_t{0};

uint64_t shuffled(const Group& group, const Thread* lanes, unsigned lane) {
  const Thread& self = lanes[lane];
  const int width = self.width, first = static_cast<int>(lane) / width * width, last = first + width - 1;
  const int at = static_cast<int>(lane);
  int source = at;
  switch (group.operation) {
    case WarpOperation::shuffle: source = first + (self.parameter & (width - 1)); break;
    case WarpOperation::shuffle_up: source = at - self.parameter < first ? at : at - self.parameter; break;
    case WarpOperation::shuffle_down: source = at + self.parameter > last ? at : at + self.parameter; break;
    default: source = (at ^ self.parameter) > last ? at : at ^ self.parameter; break;
  }
  return group.arrived >> source & 1 ? lanes[source].value : kUndefined;
}

uint64_t reduced(const Group& group, const Thread* lanes) {
  uint64_t result = group.operation == WarpOperation::min || group.operation == WarpOperation::bit_and ? kUndefined : 0;
  for (unsigned lane = 0; lane < kWarp; lane++) {
    if (!(group.arrived >> lane & 1)) continue;
    const uint64_t value = lanes[lane].value;
    switch (group.operation) {
      case WarpOperation::ballot: result |= uint64_t{value != 0} << lane; break;
      case WarpOperation::add: result += value; break;
      case WarpOperation::min: result = value < result ? value : result; break;
      case WarpOperation::max: result = value > result ? value : result; break;
      case WarpOperation::bit_and: result &= value; break;
      case WarpOperation::bit_or: result |= value; break;
      case WarpOperation::bit_xor: result ^= value; break;
      default: break;
    }
  }
  return result;
}

uint64_t matched(const Group& group, const Thread* lanes, unsigned lane) {
  uint64_t result = 0;
  for (unsigned other = 0; other < kWarp; other++) {
    if (group.arrived >> other & 1 && lanes[other].value == lanes[lane].value) result |= uint64_t{1} << other;
  }
  return result;
}

}  // namespace

void combine_lanes(const Group& group, const Thread* lanes, uint64_t results[kWarp]) {
  const WarpOperation operation = group.operation;
  if (operation == WarpOperation::custom) {
    void* values[kWarp] = {};
    for (unsigned lane = 0; lane < kWarp; lane++) {
      if (group.arrived >> lane & 1) values[lane] = reinterpret_cast<void*>(lanes[lane].value);
    }
    group.combine(values, group.arrived);
  } else if (operation >= WarpOperation::shuffle && operation <= WarpOperation::shuffle_xor) {
    for (unsigned lane = 0; lane < kWarp; lane++) {
      if (group.arrived >> lane & 1) results[lane] = shuffled(group, lanes, lane);
    }
  } else if (operation == WarpOperation::match) {
    for (unsigned lane = 0; lane < kWarp; lane++) {
      if (group.arrived >> lane & 1) results[lane] = matched(group, lanes, lane);
    }
  } else {
    const uint64_t result = reduced(group, lanes);
    for (unsigned lane = 0; lane < kWarp; lane++) results[lane] = result;
  }
}

}  // namespace covn::cuda::emulator
