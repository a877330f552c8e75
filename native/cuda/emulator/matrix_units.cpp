#include "cuda/emulator/matrix_units.hpp"

#include <cstring>
#include <deque>
#include <vector>

#include "cuda/emulator/control.hpp"

namespace covn::cuda::emulator {

namespace {

struct Copy {
  uint32_t to;
  const void* from;
  uint32_t bytes;
};
struct Product {
  Widen widen;
  float* sums;
  uint64_t a, b;
  bool add;
};

// Operations of one thread: those not yet committed, and groups of those that are, oldest first.
template <class Operation>
struct Groups {
  std::vector<Operation> open;
  std::deque<std::vector<Operation>> committed;

  void commit() {
    committed.push_back(std::move(open));
    open.clear();
  }
  template <class Run>
  void wait(int pending, Run run) {
    while (committed.size() > static_cast<size_t>(pending)) {
      for (const Operation& operation : committed.front()) run(operation);
      committed.pop_front();
    }
  }
};

struct Thread {
  Groups<Copy> copies;
  Groups<Product> products;
};
struct Box {
  void* to;
  TensorMap map;  // a copy: the asking thread may be gone when the box is copied
  int32_t column, row;
  uint64_t* barrier;
};

// Of the block that runs: one grid runs at a time. No thread-local variable, which would be shared memory.
struct Block {
  uint64_t serial = 0;
  std::vector<Thread> threads;
  std::deque<Box> boxes;
};

Block& block() {
  static Block current;
  if (current.serial != block_serial()) {
    current = {};
    current.serial = block_serial();
    current.threads.resize(size_t{blockDim.x} * blockDim.y * blockDim.z);
  }
  return current;
}
Thread& thread() { return block().threads[thread_rank()]; }

// Copies may be there at once as well: what overwrites a stage that is still read shows then.
bool copies_early() { return seed() % 2 == 1; }

void run_copy(const Copy& copy) {
  unsigned char* to = shared_pointer(copy.to, 16);
  std::memset(to, 0, 16);
  if (copy.bytes > 0) std::memcpy(to, copy.from, copy.bytes);
}

// A barrier's word: its phase's parity, the bytes still to come (some may be there before they are announced), the
// arrivals of a phase and those still to come. The rest marks a barrier that was set up.
struct Barrier {
  uint64_t parity : 1, mark : 2, expected : 20, pending : 20;
  int64_t bytes : 21;
};
static_assert(sizeof(Barrier) == 8);
constexpr uint64_t kMark = 2;

Barrier load(const uint64_t* word) {
  Barrier barrier;
  std::memcpy(&barrier, word, sizeof(barrier));
  if (barrier.mark != kMark) stop("a barrier that was not set up");
  return barrier;
}
void store(uint64_t* word, Barrier barrier) {
  if (barrier.pending == 0 && barrier.bytes == 0) {
    barrier.parity ^= 1;
    barrier.pending = barrier.expected;
  }
  std::memcpy(word, &barrier, sizeof(barrier));
}

constexpr uint32_t kBoxRowBytes = 2 * kBoxWidth;

void run_box(const Box& box) {
  const TensorMap& map = box.map;
  const uint32_t base = shared_address(box.to);
  for (uint32_t r = 0; r < map.box_rows; r++) {
    for (uint32_t k = 0; k < kBoxWidth; k++) {
      const int64_t row = int64_t{box.row} + r, column = int64_t{box.column} + k;
      const bool inside =
          row >= 0 && column >= 0 && static_cast<uint64_t>(row) < map.rows && static_cast<uint64_t>(column) < map.width;
      uint16_t element = 0;
      if (inside) std::memcpy(&element, map.data + row * map.pitch_bytes + column * 2, 2);
      std::memcpy(shared_pointer(swizzled_128(base + r * kBoxRowBytes + 2 * k), 2), &element, 2);
    }
  }
  Barrier barrier = load(box.barrier);
  barrier.bytes = barrier.bytes - int64_t{map.box_rows} * kBoxRowBytes;
  store(box.barrier, barrier);
}

// A factor of a product in shared memory, as its descriptor says.
class Factor {
 public:
  explicit Factor(uint64_t descriptor)
      : start_(static_cast<uint32_t>(descriptor & 0x3fff) << 4),
        stride_(static_cast<uint32_t>(descriptor >> 32 & 0x3fff) << 4) {
    if (descriptor >> 62 != 1) stop("a factor that is not swizzled by 128 bytes");
    if ((descriptor >> 49 & 7) != 0) stop("a factor with a base offset");
  }
  // Elements 0 .. 15 of a row: two pieces of 16 bytes, which a swizzle keeps whole.
  void read(Widen widen, uint32_t row, double (&to)[16]) const {
    for (uint32_t half = 0; half < 2; half++) {
      const uint32_t address = start_ + row / 8 * stride_ + row % 8 * kBoxRowBytes + half * 16;
      uint16_t bits[8];
      std::memcpy(bits, shared_pointer(swizzled_128(address), 16), 16);
      for (uint32_t k = 0; k < 8; k++) to[half * 8 + k] = widen(bits[k]);
    }
  }

 private:
  uint32_t start_, stride_;
};

// The thread's own part of a product.
void run_product(const Product& p) {
  const Factor a(p.a), b(p.b);
  const unsigned lane = lane_of_thread(), warp = thread_rank() % 128 / 32;
  double rows[2][16], column[16];
  for (unsigned r = 0; r < 2; r++) a.read(p.widen, warp * 16 + r * 8 + lane / 4, rows[r]);
  for (unsigned i = 0; i < 64; i++) {
    b.read(p.widen, i / 2 * 8 + lane % 4 * 2 + i % 2, column);
    for (unsigned r = 0; r < 2; r++) {
      float& sum = p.sums[i / 2 * 4 + r * 2 + i % 2];
      double total = p.add ? sum : 0.0;
      for (unsigned k = 0; k < 16; k++) total += rows[r][k] * column[k];
      sum = static_cast<float>(total);
    }
  }
}

struct LaneRows {
  uint32_t* to;
  uint32_t address;
};
struct LaneProduct {
  Widen widen;
  float* sums;
  const uint32_t* a;
  uint32_t b[2];
};

uint16_t half_of(uint32_t word, unsigned half) { return static_cast<uint16_t>(word >> 16 * half); }

void combine_rows(void* const values[32], unsigned present) {
  if (present != 0xffffffffu) stop("ldmatrix by part of a warp");
  for (unsigned lane = 0; lane < 32; lane++) {
    for (unsigned matrix = 0; matrix < 4; matrix++) {
      const uint32_t row = static_cast<LaneRows*>(values[matrix * 8 + lane / 4])->address;
      if (row % 16 != 0) stop("ldmatrix of a row that is not aligned");
      std::memcpy(&static_cast<LaneRows*>(values[lane])->to[matrix], shared_pointer(row, 16) + lane % 4 * 4, 4);
    }
  }
}

void combine_products(void* const values[32], unsigned present) {
  if (present != 0xffffffffu) stop("mma.sync by part of a warp");
  double a[16][16], b[16][8];
  for (unsigned lane = 0; lane < 32; lane++) {
    const auto& p = *static_cast<LaneProduct*>(values[lane]);
    const unsigned group = lane / 4, pair = lane % 4 * 2;
    for (unsigned half = 0; half < 2; half++) {
      for (unsigned i = 0; i < 4; i++) a[group + i % 2 * 8][pair + i / 2 * 8 + half] = p.widen(half_of(p.a[i], half));
      for (unsigned i = 0; i < 2; i++) b[pair + i * 8 + half][group] = p.widen(half_of(p.b[i], half));
    }
  }
  for (unsigned lane = 0; lane < 32; lane++) {
    for (unsigned i = 0; i < 4; i++) {
      float& sum = static_cast<LaneProduct*>(values[lane])->sums[i];
      double total = sum;
      for (unsigned k = 0; k < 16; k++) total += a[lane / 4 + i / 2 * 8][k] * b[k][lane % 4 * 2 + i % 2];
      sum = static_cast<float>(total);
    }
  }
}

}  // namespace

uint32_t shared_address(const void* pointer) {
  const auto offset = static_cast<const unsigned char*>(pointer) - static_cast<unsigned char*>(dynamic_shared());
  if (offset < 0 || static_cast<size_t>(offset) > dynamic_shared_bytes()) stop("an address outside shared memory");
  return kSharedBase + static_cast<uint32_t>(offset);
}

unsigned char* shared_pointer(uint32_t address, uint32_t bytes) {
  if (address < kSharedBase || uint64_t{address} + bytes > kSharedBase + dynamic_shared_bytes()) {
    stop("an address outside shared memory");
  }
  return static_cast<unsigned char*>(dynamic_shared()) + (address - kSharedBase);
}

void copy_async(uint32_t to, const void* from, uint32_t bytes) {
  if (to % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) stop("cp.async of bytes that are not aligned");
  const Copy copy{to, from, bytes};
  if (copies_early()) return run_copy(copy);
  thread().copies.open.push_back(copy);
}
void commit_copies() { thread().copies.commit(); }
void wait_copies(int pending) { thread().copies.wait(pending, run_copy); }

void load_matrices(uint32_t (&to)[4], uint32_t row_address) {
  LaneRows lane{to, row_address};
  warp_custom(0xffffffffu, &lane, combine_rows, Place::current());
}

void multiply_add(Widen widen, float* sums, const uint32_t* a, uint32_t b0, uint32_t b1) {
  LaneProduct lane{widen, sums, a, {b0, b1}};
  warp_custom(0xffffffffu, &lane, combine_products, Place::current());
}

void init_barrier(uint64_t* word, uint32_t arrivals) {
  shared_address(word);
  Barrier barrier{};
  barrier.mark = kMark;
  barrier.expected = barrier.pending = arrivals;
  std::memcpy(word, &barrier, sizeof(barrier));
}

void arrive(uint64_t* word, uint32_t expected_bytes) {
  Barrier barrier = load(word);
  if (barrier.pending == 0) stop("more arrivals at a barrier than it was set up for");
  barrier.bytes = barrier.bytes + int64_t{expected_bytes};
  barrier.pending--;
  store(word, barrier);
}

void wait_barrier(uint64_t* word, uint32_t parity) {
  constexpr int kPatience = 1 << 22;
  for (int tries = 0; load(word).parity == (parity & 1); tries++) {
    if (tries == kPatience) stop("a barrier whose phase does not end");
    std::deque<Box>& boxes = block().boxes;
    for (auto box = boxes.begin(); box != boxes.end(); ++box) {
      if (box->barrier != word) continue;
      const Box found = *box;
      boxes.erase(box);
      run_box(found);
      break;
    }
    yield();
  }
}

void copy_box(void* to, const TensorMap* map, int32_t column, int32_t row, uint64_t* barrier) {
  if (shared_address(to) % 128 != 0) stop("a box at an address that is not aligned to 128 bytes");
  if (reinterpret_cast<uintptr_t>(map) % 64 != 0) stop("a tensor map that is not aligned to 64 bytes");
  load(barrier);
  const Box box{to, *map, column, row, barrier};
  if (copies_early()) return run_box(box);
  block().boxes.push_back(box);
}

void multiply_async(Widen widen, float* sums, uint64_t a, uint64_t b, bool add) {
  thread().products.open.push_back({widen, sums, a, b, add});
}
void commit_products() { thread().products.commit(); }
void wait_products(int pending) { thread().products.wait(pending, run_product); }

}  // namespace covn::cuda::emulator
