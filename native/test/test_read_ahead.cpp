// What is asked for ahead, and when.
#include <algorithm>
#include <vector>

#include "core/read_ahead.hpp"
#include "test/check.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr size_t kLine = 64, kPast = 512;  // as many bytes past a row may be asked for

struct Asked {
  std::vector<int> lines;  // of the memory, how often
  size_t count = 0;
  void run(ReadAhead& ahead, const char* memory, size_t steps) {
    for (size_t i = 0; i < steps; i++) {
      ahead.step([&](const char* line) {
        const auto at = static_cast<size_t>(line - memory);
        CHECK(at % kLine == 0 && at / kLine < lines.size());
        if (at / kLine < lines.size()) lines[at / kLine]++;
        count++;
      });
    }
  }
};

void check_range(size_t rows, size_t bytes, size_t steps, bool by_page) {
  const size_t stride = bytes / kLine * kLine + kPast + 4 * kLine, total = rows * bytes;
  const std::vector<char> memory(rows * stride);
  ReadAhead ahead(memory.data(), rows, stride, bytes, steps, by_page);
  Asked asked{std::vector<int>(memory.size() / kLine)};
  asked.run(ahead, memory.data(), steps / 2);
  // Evenly.
  const double half = static_cast<double>(total) * static_cast<double>(steps / 2) / static_cast<double>(steps);
  const auto so_far = static_cast<double>(asked.count * kLine);
  CHECK(so_far >= half - kPast && so_far <= half + static_cast<double>(2 * kPast + steps));
  asked.run(ahead, memory.data(), steps - steps / 2);
  CHECK(asked.count * kLine + (rows - 1) * kPast >= total);
  asked.run(ahead, memory.data(), rows * kPast);  // rows' rounding
  for (size_t row = 0; row < rows; row++) {
    for (size_t at = 0; at < stride; at += kLine) {
      const int times = asked.lines[(row * stride + at) / kLine];
      CHECK(at < bytes ? times == 1 : times <= (at < bytes + kPast ? 1 : 0));
    }
  }
}

COVN_TEST(every_line_is_asked_for_once_and_evenly) {
  for (bool by_page : {false, true}) {
    for (size_t rows : {1, 3}) {
      for (size_t bytes : {1, 64, 100, 512, 4096, 32767, 32768, 32832, 128000, 196608}) {
        for (size_t steps : {1, 2, 7, 100, 1000}) check_range(rows, bytes, steps, by_page);
      }
    }
  }
}

COVN_TEST(pages_are_asked_for_in_turn_where_that_is_wanted) {
  const std::vector<char> memory(65536);
  for (bool by_page : {false, true}) {
    ReadAhead ahead(memory.data(), 1, 0, memory.size(), 1, by_page);
    std::vector<size_t> order;
    ahead.step([&](const char* line) { order.push_back(static_cast<size_t>(line - memory.data())); });
    CHECK(order.size() == memory.size() / kLine);
    for (size_t i = 0; i < std::min<size_t>(order.size(), 16); i++) {
      CHECK(order[i] == (by_page ? i % 8 * 4096 + i / 8 * kLine : i * kLine));
    }
  }
}

COVN_TEST(nothing_is_asked_for_where_there_is_nothing) {
  size_t asked = 0;
  ReadAhead none, no_rows(&asked, 0, 64, 64, 1, false), no_bytes(&asked, 2, 64, 0, 1, false),
      no_steps(&asked, 0, 0, 0, 0, true);
  for (ReadAhead* ahead : {&none, &no_rows, &no_bytes, &no_steps}) {
    for (int i = 0; i < 1000; i++) ahead->step([&](const char*) { asked++; });
  }
  CHECK(asked == 0);
}

}  // namespace

int main() { return run_all(); }
