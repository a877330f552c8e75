#include "cuda/emulator/memory_map.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace covn::cuda::emulator {

namespace {

constexpr size_t kGuardBytes = 1024;  // before and behind
constexpr int kGuard = 0xff;          // NaN for who reads it
constexpr size_t kAlignment = 256;

}  // namespace

void* MemoryMap::allocate(size_t bytes, size_t limit) {
  if (bytes > limit || bytes_ > limit - bytes) return nullptr;
  // What is aligned more than promised hides wrong assumptions: starts are odd multiples of 256.
  const size_t whole = (kAlignment + 2 * kGuardBytes + bytes + 511) / 512 * 512;
  auto* start = static_cast<char*>(std::aligned_alloc(512, whole));
  if (start == nullptr) return nullptr;
  std::memset(start, kGuard, whole);
  char* memory = start + kAlignment + kGuardBytes;
  sizes_[reinterpret_cast<uintptr_t>(memory)] = bytes;
  bytes_ += bytes;
  most_ = std::max(most_, bytes_);
  return memory;
}

bool MemoryMap::free(void* memory) {
  const auto found = sizes_.find(reinterpret_cast<uintptr_t>(memory));
  if (found == sizes_.end()) return false;
  bytes_ -= found->second;
  std::memset(memory, kGuard, found->second);
  std::free(static_cast<char*>(memory) - kAlignment - kGuardBytes);
  sizes_.erase(found);
  return true;
}

bool MemoryMap::holds(const void* memory, size_t bytes) const {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  auto found = sizes_.upper_bound(address);
  if (found == sizes_.begin()) return false;
  --found;
  return address - found->first <= found->second && bytes <= found->second - (address - found->first);
}

bool MemoryMap::same(const void* memory, const void* address) const {
  const auto found = sizes_.find(reinterpret_cast<uintptr_t>(memory));
  return found != sizes_.end() && reinterpret_cast<uintptr_t>(address) - found->first < found->second;
}

bool MemoryMap::near(const void* memory) const {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  auto found = sizes_.upper_bound(address + kGuardBytes);
  if (found == sizes_.begin()) return false;
  --found;
  return address + kGuardBytes >= found->first && address < found->first + found->second + kGuardBytes;
}

std::string MemoryMap::damage(const char* kind) {
  std::string text;
  for (auto allocation = sizes_.begin(); allocation != sizes_.end(); ++allocation) {
    if (const std::string found = damage_of(allocation, kind); text.empty()) text = found;
  }
  return text;
}

std::string MemoryMap::damage_of(Allocation allocation, const char* kind) {
  const auto [address, bytes] = *allocation;
  auto* memory = reinterpret_cast<unsigned char*>(address);
  std::string text;
  for (size_t i = 0; i < kGuardBytes; i++) {
    const bool before = memory[-1 - static_cast<ptrdiff_t>(i)] != kGuard;
    if (!before && memory[bytes + i] == kGuard) continue;
    text = "a write out of bounds, " + std::to_string(i) + " bytes " + (before ? "before" : "behind") + " " +
           std::to_string(bytes) + " bytes of " + kind + " memory";
    break;
  }
  if (!text.empty()) {
    std::memset(memory - kGuardBytes, kGuard, kGuardBytes);
    std::memset(memory + bytes, kGuard, kGuardBytes);
  }
  return text;
}

}  // namespace covn::cuda::emulator
