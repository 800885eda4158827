#include "containers/safetensors.h"

#include "base/random.h"
#include "containers/json.h"
#include "containers/test_files.h"

namespace carat {
namespace {

using testing::file_text;
using testing::safetensors_bytes;
using testing::TempDirectory;
using testing::write_file;

std::vector<uint8_t> content(size_t tensor, uint64_t bytes) {
  Random random(tensor);
  std::vector<uint8_t> out(bytes);
  for (uint8_t& b : out) b = static_cast<uint8_t>(random.next());
  return out;
}

std::vector<PlannedTensor> random_plan(Random& random) {
  std::vector<PlannedTensor> plan;
  const char* names[] = {"F32", "BF16", "F16", "I64", "U8", "BOOL", "F8_E4M3"};
  const size_t tensors = 1 + random.next() % 9;
  for (size_t i = 0; i < tensors; ++i) {
    PlannedTensor t{
        fmt::format("model.layers.{}.\"weight\"\u00e9", i), {}, find_encoding(names[random.next() % 7])};
    for (size_t d = random.next() % 4; d > 0; --d)
      t.shape.push_back(static_cast<int64_t>(random.next() % 12));
    plan.push_back(std::move(t));
  }
  return plan;
}

uint64_t bytes_of(const PlannedTensor& t) { return Tensor{t.name, t.shape, t.encoding, nullptr}.bytes(); }

TEST(Safetensors, what_is_written_is_read) {
  Random random(5);
  for (int round = 0; round < 50; ++round) {
    TempDirectory dir;
    const auto plan = random_plan(random);
    auto writer = create_safetensors(dir.path(), plan, 1 + random.next() % 5000);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    std::string all;  // the rows of all tensors in one stream, cut anywhere
    for (size_t i = 0; i < plan.size(); ++i) {
      const auto bytes = content(i, bytes_of(plan[i]));
      all.append(bytes.begin(), bytes.end());
    }
    for (Bytes rest{reinterpret_cast<const uint8_t*>(all.data()), all.size()}; !rest.empty();) {
      const size_t n = 1 + random.next() % rest.size();
      ASSERT_TRUE((*writer)->write(rest.first(n)).ok());
      rest = rest.subspan(n);
    }
    const Status finished = (*writer)->finish();
    ASSERT_TRUE(finished.ok()) << finished.error().message;

    uint64_t on_disk = 0;
    for (const auto& file : std::filesystem::directory_iterator(dir.path())) on_disk += file.file_size();
    EXPECT_EQ((*writer)->total_bytes(), on_disk);
    const auto read = read_safetensors_directory(dir.path());
    ASSERT_TRUE(read.ok()) << read.error().message;
    ASSERT_EQ(read->tensors.size(), plan.size());
    EXPECT_EQ(**read->metadata.string_at("format"), "pt");
    for (size_t i = 0; i < plan.size(); ++i) {
      const Tensor* t = read->find(plan[i].name);
      ASSERT_NE(t, nullptr);
      EXPECT_EQ(t->shape, plan[i].shape);
      EXPECT_EQ(t->encoding, plan[i].encoding);
      EXPECT_TRUE(std::ranges::equal(t->data->mapped(), content(i, t->bytes())));
      const auto place = reinterpret_cast<uintptr_t>(t->data->mapped().data());
      EXPECT_EQ(place % t->encoding->block_bytes, 0u) << "not aligned to its own element";
    }
  }
}

TEST(Safetensors, shards_are_named_and_indexed_as_hugging_face_does) {
  TempDirectory dir;
  const Encoding* f32 = &encoding_f32();
  auto writer = create_safetensors(dir.path(), {{"a", {10}, f32}, {"b", {10}, f32}, {"c", {1}, f32}}, 44);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->write(std::vector<uint8_t>(84)).ok());
  EXPECT_EQ((*writer)->write(std::vector<uint8_t>(1)).error().code, Code::internal);
  ASSERT_TRUE((*writer)->finish().ok());
  const auto index = parse_json(file_text(dir / "model.safetensors.index.json"));
  ASSERT_TRUE(index.ok());
  EXPECT_EQ(json::serialize(*index),
            R"({"metadata":{"total_size":84},"weight_map":{"a":"model-00001-of-00002.safetensors",)"
            R"("b":"model-00002-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}})");
}

TEST(Safetensors, an_incomplete_file_does_not_finish) {
  TempDirectory dir;
  auto writer = create_safetensors(dir.path(), {{"a", {10}, &encoding_f32()}}, 1000);
  ASSERT_TRUE((*writer)->write(std::vector<uint8_t>(39)).ok());
  EXPECT_EQ((*writer)->finish().error().code, Code::internal);
}

TEST(Safetensors, refuses_plans_it_cannot_express) {
  TempDirectory dir;
  const Encoding* f32 = &encoding_f32();
  const auto code = [&](std::vector<PlannedTensor> plan) {
    return create_safetensors(dir.path(), plan, 1).error().code;
  };
  EXPECT_EQ(code({{"a", {32}, find_encoding("Q4_0")}}), Code::bad_data);
  EXPECT_EQ(code({{"a", {1}, f32}, {"a", {1}, f32}}), Code::bad_data);
  EXPECT_EQ(code({{"__metadata__", {1}, f32}}), Code::bad_data);
  EXPECT_EQ(code({{"a", {-1}, f32}}), Code::bad_data);
  EXPECT_EQ(code({{"a", {1, int64_t{1} << 62}, f32}}), Code::bad_data);
  EXPECT_EQ(code({{"a", {1 << 28, 1 << 28}, f32}}), Code::io) << "more than any disk has";
}

TEST(Safetensors, tensors_come_in_the_order_of_their_data) {
  TempDirectory dir;
  write_file(dir / "a.safetensors",
             safetensors_bytes(R"({"late":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                               R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},)"
                               R"("early":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                               R"("__metadata__":{"format":"pt","note":"x\ny"}}   )",
                               std::string(12, '\0')));
  const auto read = read_safetensors(dir / "a.safetensors");
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->tensors.size(), 3u);
  EXPECT_EQ(read->tensors[0].name, "early");
  EXPECT_EQ(read->tensors[1].name, "none");
  EXPECT_EQ(read->tensors[2].name, "late");
  EXPECT_EQ(read->tensors[0].elements(), 1);
  EXPECT_EQ(read->tensors[1].elements(), 0);
  EXPECT_TRUE(read->tensors[1].read_all()->empty());
  EXPECT_EQ(**read->metadata.string_at("note"), "x\ny");
  EXPECT_EQ(read->files, std::vector<std::string>{dir / "a.safetensors"});
}

TEST(Safetensors, what_is_not_there_is_no_input) {
  TempDirectory dir;
  EXPECT_EQ(read_safetensors(dir / "none").error().code, Code::no_input);
  EXPECT_EQ(read_safetensors_directory(dir.path()).error().code, Code::no_input);
  EXPECT_EQ(read_safetensors_directory(dir / "none").error().code, Code::no_input);
}

}  // namespace
}  // namespace carat
