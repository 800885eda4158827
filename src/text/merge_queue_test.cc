#include "text/merge_queue.h"

#include <gtest/gtest.h>

#include <queue>
#include <vector>

#include "base/random.h"

namespace carat {
namespace {

TEST(MergeQueue, GivesWhatOneHeapGives) {
  for (const uint64_t priorities : {1, 3, 500}) {
    Random random(priorities);
    MergeQueue queue;
    std::priority_queue<MergeQueue::Entry, std::vector<MergeQueue::Entry>, std::greater<>> reference;
    const auto push = [&](uint64_t place) {
      const auto priority = static_cast<uint32_t>(random.next() % priorities);
      queue.push(priority, place);
      reference.emplace(priority, place);
    };
    for (uint64_t place = 0; place < 20000; ++place)
      push(2 * place);  // in order, far more than the heap holds
    for (uint64_t n = 0; !reference.empty(); ++n) {
      ASSERT_FALSE(queue.empty());
      ASSERT_EQ(queue.pop(), reference.top());
      reference.pop();
      if (n < 30000 && n % 3 < 2) push(random.next() % 50000);  // out of order, while others wait
    }
    EXPECT_TRUE(queue.empty());
  }
}

}  // namespace
}  // namespace carat
