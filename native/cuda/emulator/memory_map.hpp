// Emulated device and pinned memory, and its guard zones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace covn::cuda::emulator {

class MemoryMap {
 public:
  // Null where the limit does not allow it. Aligned to 256 bytes, contents NaN.
  void* allocate(size_t bytes, size_t limit);
  bool free(void* memory);
  bool holds(const void* memory, size_t bytes) const;
  // Whether an address lies in the allocation that begins at `memory`.
  bool same(const void* memory, const void* address) const;
  // Whether the address lies in an allocation or its guard zones.
  bool near(const void* memory) const;
  // Says where a guard zone was written to, and mends it; empty where none was.
  std::string damage(const char* kind);

  size_t bytes() const { return bytes_; }
  size_t most_bytes() const { return most_; }
  void forget_most() { most_ = bytes_; }

 private:
  using Allocation = std::map<uintptr_t, size_t>::iterator;
  std::string damage_of(Allocation allocation, const char* kind);

  std::map<uintptr_t, size_t> sizes_;
  size_t bytes_ = 0, most_ = 0;
};

}  // namespace covn::cuda::emulator
