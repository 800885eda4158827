#include "evaluate/memory_plan.h"

#include <gtest/gtest.h>

#include "arch/open_model.h"
#include "base/thread_pool.h"

namespace carat {
namespace {

std::shared_ptr<Engine> stories(int64_t context) {
  static ThreadPool pool(1);
  static Cancellation cancellation;
  static Progress progress;
  auto checkpoint = open_model(CARAT_SOURCE_DIR "/golden/stories260K.gguf");
  EngineOptions options;
  options.context = context;
  auto engine = Engine::load(Context{pool, cancellation, progress}, *std::move(checkpoint), options);
  EXPECT_TRUE(engine.ok()) << engine.error().message;
  return *std::move(engine);
}

// stories260K: 260032 floats; 5 layers, width 64, 8 heads and 4 of keys and values, of 8 each (16 in the
// cache, which pads), feed-forward 172, vocabulary 512.
TEST(MemoryPlan, IsTheSumOfItsPartsForAKnownModel) {
  const auto engine = stories(256);
  const auto plan = plan_memory(*engine, 3, int64_t{1} << 30);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->weights_bytes, 4 * 260'032);
  EXPECT_EQ(plan->sequences, 3);
  EXPECT_EQ(plan->keys_and_values_bytes, 3 * 256 * 5 * 2 * 4 * 16 * 2);
  EXPECT_EQ(plan->work_space_bytes, 4 * 512 * (3 * 64 + 2 * 64 + 2 * 32 + 2 * 172 + 8 + 512));
  EXPECT_EQ(plan->to_json().at("total_bytes"),
            plan->weights_bytes + plan->keys_and_values_bytes + plan->work_space_bytes);
}

TEST(MemoryPlan, HoldsFewerSequencesWhereTheirMemoryIsBounded) {
  const auto engine = stories(512);
  const int64_t each = engine->kv_bytes(512);
  EXPECT_EQ(plan_memory(*engine, 16, 5 * each)->sequences, 5);
  EXPECT_EQ(plan_memory(*engine, 16, 5 * each)->keys_and_values_bytes, 5 * each);
  EXPECT_EQ(plan_memory(*engine, 16, each - 1)->sequences, 1);
}

}  // namespace
}  // namespace carat
