#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "base/context.h"
#include "base/cpu.h"
#include "base/digest.h"
#include "base/random.h"

namespace carat {
namespace {

Result<int> half_of(int n) {
  if (n % 2) return bad_data("{} is odd", n);
  return n / 2;
}
Result<int> quarter_of(int n) {
  CARAT_TRY(const int half, half_of(n));
  CARAT_TRY(const int quarter, half_of(half));
  return quarter;
}

TEST(result, carries_values_and_errors_through_try) {
  EXPECT_EQ(*quarter_of(12), 3);
  const auto bad = quarter_of(6);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, Code::bad_data);
  EXPECT_EQ(bad.error().message, "3 is odd");
  EXPECT_EQ(quarter_of(5).error().within("numbers.txt").message, "numbers.txt: 5 is odd");
}

TEST(checked, refuses_what_wraps) {
  constexpr uint64_t max = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(checked_mul(1ull << 32, 1ull << 31), 1ull << 63);
  EXPECT_FALSE(checked_mul(1ull << 32, 1ull << 32));
  EXPECT_FALSE(checked_add(max, 1));
  EXPECT_EQ(checked_round_up(33, 32), 64u);
  EXPECT_EQ(checked_round_up(64, 32), 64u);
  EXPECT_FALSE(checked_round_up(max - 3, 32));
}

TEST(thread_pool, covers_every_item_once_for_any_size) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t count : {0, 1, 2, 7, 64, 1000})
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int thread) {
          ASSERT_TRUE(thread >= 0 && thread < threads);
          ASSERT_TRUE(begin < end && end <= count);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (auto& s : seen) ASSERT_EQ(s, 1);
      }
  }
}

TEST(thread_pool, survives_many_short_jobs_and_pauses_in_between) {
  ThreadPool pool(4);
  int64_t total = 0;
  for (int round = 0; round < 3000; ++round) {
    std::atomic<int64_t> sum{0};
    pool.parallel_for(16, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) sum += i;
    });
    total += sum;
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // lets the workers park
  }
  EXPECT_EQ(total, 3000 * 120);
}

TEST(context, reports_interruption) {
  ThreadPool pool(1);
  Cancellation cancellation;
  Progress progress;
  const Context context{pool, cancellation, progress};
  EXPECT_TRUE(context.check());
  cancellation.request();
  EXPECT_EQ(context.check().error().code, Code::interrupted);
}

TEST(digest, matches_published_vectors) {
  // FIPS 180-4 example "abc".
  EXPECT_EQ(sha256_hex(std::string_view("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 parts;
  parts.update(std::string_view("a"));
  parts.update(std::string_view("bc"));
  EXPECT_EQ(parts.hex(), sha256_hex(std::string_view("abc")));
  EXPECT_EQ(xxh3({}), 0x2d06800538d394c2ull);  // XXH3_64bits of nothing, seed 0
}

TEST(random, is_the_same_sequence_everywhere) {
  // SplitMix64 from seed 1234567, as in its authors' reference implementation.
  Random random(1234567);
  EXPECT_EQ(random.next(), 6457827717110365317ull);
  EXPECT_EQ(random.next(), 3203168211198807973ull);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.02);
}

TEST(cpu, can_be_forced_to_what_is_there_and_to_nothing_else) {
  const auto isas = available_isas();
  ASSERT_EQ(isas.back(), Isa::portable);
  for (Isa isa : isas) {
    setenv("CARAT_ISA", std::string(isa_name(isa)).c_str(), 1);
    EXPECT_EQ(*chosen_isa(), isa);
  }
  setenv("CARAT_ISA", "sse9", 1);
  EXPECT_EQ(chosen_isa().error().code, Code::usage);
  unsetenv("CARAT_ISA");
  EXPECT_EQ(*chosen_isa(), isas.front());
}

}  // namespace
}  // namespace carat
