#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "base/checked.h"
#include "base/context.h"
#include "base/control_groups.h"
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

// A job for which the system grants too few threads is done by fewer.
TEST(thread_pool, makes_do_with_the_threads_that_could_be_started) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need far more address space than they use";
#endif
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit tight = before;
  tight.rlim_cur = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + (uint64_t{256} << 20);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &tight), 0);
  ThreadPool pool(1024);  // stacks of 8 MB each, as a rule
  setrlimit(RLIMIT_AS, &before);
  EXPECT_GE(pool.threads(), 1);
  EXPECT_LT(pool.threads(), 1024);
  std::atomic<int64_t> sum{0};
  pool.parallel_for(1000, 1, [&](int64_t begin, int64_t, int thread) {
    EXPECT_LT(thread, pool.threads());
    sum += begin;
  });
  EXPECT_EQ(sum, 499500);
}

class ControlGroups : public testing::Test {
 protected:
  void SetUp() override {
    files_.root = testing::TempDir() + "/carat-groups-" + std::to_string(getpid());
    files_.self = files_.root + "/self";
  }
  void TearDown() override { std::filesystem::remove_all(files_.root); }
  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = files_.root + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  ControlGroupFiles files_;
};

TEST_F(ControlGroups, the_tightest_limit_on_the_way_up_counts) {
  write("self", "0::/slice/service/own\n");
  EXPECT_FALSE(group_processors(files_));
  EXPECT_FALSE(group_memory(files_));
  write("slice/service/own/cpu.max", "max 100000\n");
  write("slice/service/own/memory.max", "max\n");
  write("slice/service/own/memory.current", "50\n");
  EXPECT_FALSE(group_processors(files_));
  EXPECT_FALSE(group_memory(files_));
  write("slice/service/cpu.max", "150000 100000\n");
  write("slice/cpu.max", "400000 100000\n");
  write("slice/memory.max", "1000\n");
  write("slice/memory.current", "900\n");
  write("other/cpu.max", "1000 100000\n");
  EXPECT_EQ(group_processors(files_), 1.5);
  EXPECT_EQ(group_memory(files_), 100u);
  write("cpu.max", "50000 100000\n");  // the root: that of a container
  EXPECT_EQ(group_processors(files_), 0.5);
}

TEST_F(ControlGroups, cached_files_are_as_good_as_free) {
  write("self", "0::/\n");
  write("memory.max", "1000\n");
  write("memory.current", "950\n");
  write("memory.stat", "anon 150\nfile 800\ninactive_file 700\nactive_file 100\n");
  EXPECT_EQ(group_memory(files_), 850u);
}

TEST_F(ControlGroups, version_1_has_a_folder_for_each_controller) {
  write("self", "12:cpuset:/\n9:cpu,cpuacct:/job\n8:memory:/job\n0::/\n");
  write("cpu/job/cpu.cfs_quota_us", "200000\n");
  write("cpu/job/cpu.cfs_period_us", "100000\n");
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  write("memory/job/memory.limit_in_bytes", "500\n");
  write("memory/job/memory.usage_in_bytes", "400\n");
  write("memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 30\ntotal_active_file 20\n");
  EXPECT_EQ(group_processors(files_), 2.0);
  EXPECT_EQ(group_memory(files_), 150u);
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
