// Philox4x32-10 against the known answers of Random123 (kat_vectors), and the bounded draw.
#include "core/philox.hpp"

#include "test/check.hpp"

using namespace covn;
using namespace covn::test;

COVN_TEST(known_answers) {
  CHECK((philox4x32({0, 0, 0, 0}, 0) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  CHECK((philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff) ==
         PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
         PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

COVN_TEST(bounded_is_the_high_word_of_the_product) {
  Random random(1);
  for (int i = 0; i < 100000; i++) {
    const uint64_t bits = random.bits(), bound = 1 + random.bits() % (i % 2 ? 1000 : ~uint64_t{0});
    CHECK(bounded(bits, bound) == static_cast<uint64_t>(static_cast<unsigned __int128>(bits) * bound >> 64));
  }
  CHECK(bounded(~uint64_t{0}, 1) == 0);
}

int main() { return run_all(); }
