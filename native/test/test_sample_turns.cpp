// Which rows a job draws from when.
#include <vector>

#include "kernels/sample_turns.hpp"
#include "test/check.hpp"

using namespace covn;
using namespace covn::test;

namespace {

// Chunks follow one another, and every row has its turn once, within its chunk.
void check_turns(size_t rows, size_t most, size_t together, bool streams, size_t threads) {
  const SampleTurns turns(rows, most, together, streams, threads);
  std::vector<int> seen(rows);
  size_t chunk_begin = 0;
  for (size_t chunk = 0; chunk < turns.chunks(); chunk++) {
    const size_t size = turns.end(chunk) - turns.begin(chunk);
    CHECK(turns.begin(chunk) == chunk_begin && size >= 1 && size <= most);
    CHECK(chunk == 0 || size <= turns.end(chunk - 1) - turns.begin(chunk - 1));
    size_t done = 0, apart = 0;
    for (RowTurn turn = turns.turn(chunk, 0); turn.count > 0; turn = turns.turn(chunk, done)) {
      CHECK(turn.count <= together);
      for (size_t i = 0; i < turn.count; i++) {
        const size_t row = turn.first + i * turn.apart;
        CHECK(row >= chunk_begin && row < chunk_begin + size);
        if (row < rows) seen[row]++;
      }
      // Of streams, each goes on from one turn to the next.
      if (done == 0) apart = turn.apart;
      if (streams && size >= together) CHECK(apart == std::max<size_t>(1, size / std::min(together, most)));
      done += turn.count;
    }
    CHECK(done == size);
    chunk_begin += size;
  }
  CHECK(chunk_begin == rows);
  for (int times : seen) CHECK(times == 1);
}

COVN_TEST(every_row_has_its_turn_once) {
  for (size_t rows : {0, 1, 2, 3, 4, 5, 31, 32, 33, 64, 255, 256, 1000, 4099}) {
    for (size_t most : {1, 2, 3, 4, 5, 8, 32}) {
      for (size_t together : {1, 4, 32}) {
        for (size_t threads : {1, 3, 64}) {
          for (bool streams : {false, true}) check_turns(rows, most, together, streams, threads);
        }
      }
    }
  }
}

}  // namespace

int main() { return run_all(); }
