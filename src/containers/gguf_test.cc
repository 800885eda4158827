#include "containers/gguf.h"

#include <bit>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "containers/test_files.h"

namespace carat {
namespace {

using testing::Blob;
using testing::file_text;
using testing::TempDirectory;
using testing::write_file;

std::string random_text(Random& random, size_t longest) {
  std::string s(random.next() % (longest + 1), '\0');
  for (char& c : s) c = static_cast<char>(random.next());
  return s;
}

/// Any value of any type, arrays included.
Value random_value(Random& random, bool allow_array = true) {
  const uint64_t bits = random.next();
  switch (random.next() % (allow_array ? 13 : 12)) {
    case 0:
      return {ValueType::u8, bits & 0xffu};
    case 1:
      return {ValueType::i8, int64_t{static_cast<int8_t>(bits)}};
    case 2:
      return {ValueType::u16, bits & 0xffffu};
    case 3:
      return {ValueType::i16, int64_t{static_cast<int16_t>(bits)}};
    case 4:
      return Value::u32(static_cast<uint32_t>(bits));
    case 5:
      return Value::i32(static_cast<int32_t>(bits));
    case 6:
      return Value::f32(static_cast<float>(random.normal()));
    case 7:
      return Value::boolean(bits % 2 == 0);
    case 8:
      return Value::string(random_text(random, 40));
    case 9:
      return Value::u64(bits);
    case 10:
      return {ValueType::i64, static_cast<int64_t>(bits)};
    case 11:
      return {ValueType::f64, random.normal()};
    default:
      break;
  }
  Array a;
  const size_t n = random.next() % 6;
  a.element = random_value(random, false).type;
  while (a.size() < n) {
    const Value v = random_value(random, false);
    if (v.type != a.element) continue;
    if (const auto* u = std::get_if<uint64_t>(&v.data)) a.unsigneds.push_back(*u);
    if (const auto* b = std::get_if<bool>(&v.data)) a.unsigneds.push_back(*b ? 1 : 0);
    if (const auto* i = std::get_if<int64_t>(&v.data)) a.signeds.push_back(*i);
    if (const auto* d = std::get_if<double>(&v.data)) a.floats.push_back(*d);
    if (const auto* s = std::get_if<std::string>(&v.data)) a.strings.push_back(*s);
  }
  return {ValueType::array, std::move(a)};
}

struct Sample {
  Metadata metadata;
  std::vector<PlannedTensor> plan;
  std::vector<std::vector<uint8_t>> data;
};

Sample random_sample(Random& random) {
  Sample s;
  const size_t keys = random.next() % 20;
  for (size_t i = 0; i < keys; ++i) s.metadata.set(fmt::format("key.{}", i), random_value(random));
  if (random.next() % 2 == 0) s.metadata.set("general.alignment", Value::u32(8u << random.next() % 8));
  const uint32_t types[] = {0, 1, 30, 2, 8, 12, 14, 20, 16, 26, 28};  // 16 and 26: carried, not computed with
  const size_t tensors = random.next() % 6;
  for (size_t i = 0; i < tensors; ++i) {
    PlannedTensor t{
        fmt::format("blk.{}.weight", i), {}, find_ggml_type(types[random.next() % std::size(types)])};
    const size_t dimensions = random.next() % 5;
    for (size_t d = 0; d + 1 < dimensions; ++d)
      t.shape.push_back(1 + static_cast<int64_t>(random.next() % 3));
    if (dimensions > 0) t.shape.push_back(t.encoding->block * (1 + static_cast<int64_t>(random.next() % 3)));
    if (dimensions == 0 && t.encoding->block != 1) t.encoding = &encoding_f32();
    const Tensor shaped{t.name, t.shape, t.encoding, nullptr};
    auto& bytes = s.data.emplace_back(shaped.bytes());
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.next());
    s.plan.push_back(std::move(t));
  }
  return s;
}

Status write_sample(const std::string& path, const Sample& s, Random& random) {
  CARAT_TRY(auto writer, create_gguf(path, s.metadata, s.plan, {}));
  for (const auto& bytes : s.data) {
    for (Bytes rest = bytes; !rest.empty();) {
      const size_t n = 1 + random.next() % rest.size();
      CARAT_DO(writer->write(rest.first(n)));
      rest = rest.subspan(n);
    }
    CARAT_DO(writer->finish_tensor(""));
  }
  return writer->finish();
}

TEST(Gguf, what_is_written_is_read) {
  TempDirectory dir;
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    const Sample s = random_sample(random);
    const std::string path = dir / "a.gguf";
    const Status written = write_sample(path, s, random);
    ASSERT_TRUE(written.ok()) << written.error().message;
    EXPECT_EQ(*gguf_file_size(s.metadata, s.plan), std::filesystem::file_size(path));
    const auto read = read_gguf(path);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->metadata.entries(), s.metadata.entries());
    EXPECT_EQ(read->container, "gguf");
    ASSERT_EQ(read->tensors.size(), s.plan.size());
    for (size_t i = 0; i < s.plan.size(); ++i) {
      const Tensor& t = read->tensors[i];
      EXPECT_EQ(t.name, s.plan[i].name);
      EXPECT_EQ(t.shape, s.plan[i].shape);
      EXPECT_EQ(t.encoding, s.plan[i].encoding);
      std::vector<uint8_t> bytes(t.bytes());
      ASSERT_TRUE(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
      EXPECT_EQ(bytes, s.data[i]);
      t.data->release(0, t.rows());
      EXPECT_TRUE(std::ranges::equal(t.data->mapped(), s.data[i]));
      EXPECT_EQ(*read->at(t.name), &t);
    }
    EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
    EXPECT_FALSE(std::filesystem::exists(path + ".journal"));
  }
}

// Type numbers carry the group; rows come back as they were, wherever they begin.
TEST(Gguf, grouped_encodings_are_read_as_they_were_written) {
  TempDirectory dir;
  Random random(3);
  Sample s;
  for (const char* name : {"INT2_G32", "INT3_ASYM_G96", "INT4_G128", "INT4_ASYM_TENSOR", "INT8_CHANNEL",
                           "INT8_G384", "FP8_TENSOR", "FP8_CHANNEL", "FP8_BLOCK128", "NF4"}) {
    const Encoding* e = find_encoding(name);
    ASSERT_NE(e, nullptr) << name;
    s.plan.push_back({name, {3, 384}, e});
    s.data.emplace_back(3 * e->row_bytes(384));
    for (uint8_t& b : s.data.back()) b = static_cast<uint8_t>(random.next() & 0x3b);
  }
  const std::string path = dir / "a.gguf";
  const Status written = write_sample(path, s, random);
  ASSERT_TRUE(written.ok()) << written.error().message;
  const auto read = read_gguf(path);
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->tensors.size(), s.plan.size());
  for (size_t i = 0; i < s.plan.size(); ++i) {
    const Tensor& t = read->tensors[i];
    EXPECT_EQ(t.encoding, s.plan[i].encoding);
    EXPECT_EQ(t.bytes(), s.data[i].size());
    const auto all = t.read_all();
    ASSERT_TRUE(all.ok());
    std::vector<float> row(384), last(384);
    ASSERT_TRUE(t.read_rows(2, 1, last.data()).ok());
    t.encoding->decode(s.data[i].data() + 2 * t.row_bytes(), row.data(), 384);
    EXPECT_EQ(row, last) << t.name;
    EXPECT_TRUE(std::equal(row.begin(), row.end(), all->begin() + 768)) << t.name;
  }
}

TEST(Gguf, metadata_survive_bit_for_bit_nans_included) {
  TempDirectory dir;
  Blob b;
  b.gguf(0, 2);
  b.text("nan").u32(6).u32(0x7fa12345u);
  b.text("nans").u32(9).u32(6).u64(3).u32(0xff800001u).u32(0x7fc00000u).u32(0x80000000u);
  b.pad(32);
  write_file(dir / "in.gguf", b.bytes);
  const auto read = read_gguf(dir / "in.gguf");
  ASSERT_TRUE(read.ok()) << read.error().message;
  auto writer = create_gguf(dir / "out.gguf", read->metadata, {}, {});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->finish().ok());
  EXPECT_EQ(file_text(dir / "out.gguf"), b.bytes);
}

TEST(Gguf, reads_version_2) {
  TempDirectory dir;
  Blob b;
  b.gguf(1, 1, 2).text("a").u32(4).u32(5).tensor("t", {2, 3}, 0, 0).pad(32);
  for (int i = 0; i < 6; ++i) b.raw(static_cast<float>(i));
  write_file(dir / "v2.gguf", b.bytes);  // the last tensor's padding is missing: allowed
  const auto read = read_gguf(dir / "v2.gguf");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->tensors[0].shape, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(*read->tensors[0].read_all(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  std::vector<float> row(2);
  ASSERT_TRUE(read->tensors[0].read_rows(1, 1, row.data()).ok());
  EXPECT_EQ(row, (std::vector<float>{2, 3}));
  EXPECT_EQ(read->tensors[0].read_rows(2, 2, row.data()).error().code, Code::internal);
  EXPECT_EQ(read->at("none").error().code, Code::bad_data);
}

TEST(Gguf, carries_but_does_not_decode_storage_only_types) {
  TempDirectory dir;
  write_file(dir / "a.gguf", Blob().gguf(1, 0).tensor("ids", {4}, 26, 0).pad(32).zeros(32).bytes);
  const auto read = read_gguf(dir / "a.gguf");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->tensors[0].bytes(), 16u);
  EXPECT_EQ(read->tensors[0].read_all().error().message,
            "tensor \"ids\" is stored as I32, which carat can copy but not compute with");
}

TEST(Gguf, refuses_plans_that_no_reader_takes) {
  const Encoding* f32 = &encoding_f32();
  const auto refused = [](const std::vector<PlannedTensor>& plan, std::string_view part) {
    const auto size = gguf_file_size({}, plan);
    ASSERT_FALSE(size.ok());
    EXPECT_EQ(size.error().code, Code::bad_data);
    EXPECT_NE(size.error().message.find(part), std::string::npos) << size.error().message;
  };
  EXPECT_TRUE(gguf_file_size({}, {{std::string(63, 'n'), {1}, f32}}).ok());
  refused({{std::string(64, 'n'), {1}, f32}}, "64 bytes");
  refused({{"", {1}, f32}}, "name of 0 bytes");
  refused({{"a", {1}, f32}, {"a", {1}, f32}}, "two tensors are named \"a\"");
  refused({{"a", {1, 1, 1, 1, 1}, f32}}, "5 dimensions");
  refused({{"a", {3, 0}, f32}}, "impossible shape");
  refused({{"a", {-1, 2}, f32}}, "impossible shape");
  refused({{"a", {int64_t{1} << 40, int64_t{1} << 40}, f32}}, "does not fit");
  refused({{"a", {2, 48}, find_encoding("Q4_0")}}, "stores 32 columns at a time");
  refused({{"a", {1}, find_encoding("BOOL")}}, "GGUF has no type for");
  Metadata m;
  m.set("general.alignment", Value::u32(24));
  EXPECT_FALSE(gguf_file_size(m, {}).ok());
  m.set("general.alignment", Value::u64(32));
  EXPECT_FALSE(gguf_file_size(m, {}).ok());
  Metadata too_large;
  too_large.set("x", {ValueType::u8, uint64_t{300}});
  EXPECT_EQ(gguf_file_size(too_large, {}).error().code, Code::internal);
}

TEST(Gguf, writer_insists_on_its_plan) {
  TempDirectory dir;
  auto writer = create_gguf(dir / "a.gguf", {}, {{"t", {2}, &encoding_f32()}}, {});
  ASSERT_TRUE(writer.ok());
  const std::vector<uint8_t> bytes(9);
  EXPECT_EQ((*writer)->write(bytes).error().code, Code::internal);
  EXPECT_EQ((*writer)->finish_tensor("").error().code, Code::internal);
  EXPECT_EQ((*writer)->finish().error().code, Code::internal);
  ASSERT_TRUE((*writer)->write(Bytes(bytes).first(8)).ok());
  ASSERT_TRUE((*writer)->finish_tensor("").ok());
  EXPECT_EQ((*writer)->write(Bytes(bytes).first(1)).error().code, Code::internal);
  Metadata longer;
  longer.set("k", Value::u32(1));
  EXPECT_EQ((*writer)->finish(&longer).error().code, Code::internal);
  EXPECT_TRUE((*writer)->finish().ok());
}

TEST(Gguf, final_metadata_replace_those_of_the_same_size) {
  TempDirectory dir;
  Metadata first;
  first.set("errors", Value::f32s({0, 0}));
  first.set("digest", Value::string(std::string(64, '0')));
  auto writer = create_gguf(dir / "a.gguf", first, {{"t", {2}, &encoding_f32()}}, {});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->write(std::vector<uint8_t>(8)).ok());
  ASSERT_TRUE((*writer)->finish_tensor("").ok());
  Metadata last;
  last.set("errors", Value::f32s({0.25f, 0.5f}));
  last.set("digest", Value::string(std::string(64, 'f')));
  ASSERT_TRUE((*writer)->finish(&last).ok());
  const auto read = read_gguf(dir / "a.gguf");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->metadata.entries(), last.entries());
}

TEST(Gguf, a_missing_file_is_no_input) {
  TempDirectory dir;
  EXPECT_EQ(read_gguf(dir / "none.gguf").error().code, Code::no_input);
  EXPECT_EQ(read_gguf(dir.path()).error().code, Code::no_input);
  EXPECT_EQ(read_gguf("/dev/zero").error().code, Code::no_input);
}

TEST(Gguf, more_than_the_disk_holds_is_refused_before_the_first_byte) {
  TempDirectory dir;
  const std::vector<PlannedTensor> plan = {{"t", {int64_t{1} << 29, int64_t{1} << 29}, &encoding_f32()}};
  const auto writer = create_gguf(dir / "a.gguf", {}, plan, {});
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, Code::io);
  EXPECT_NE(writer.error().message.find("bytes are needed"), std::string::npos) << writer.error().message;
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace carat
