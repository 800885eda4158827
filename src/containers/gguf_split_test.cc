// Models in several files: written at any size, read from any part, killed and resumed, damaged and mixed up.
#include <gtest/gtest.h>

#include "base/random.h"
#include "containers/gguf.h"
#include "containers/gguf_parts.h"
#include "containers/test_files.h"

namespace carat {
namespace {

namespace fs = std::filesystem;
using testing::file_text;
using testing::TempDirectory;
using testing::write_file;

constexpr size_t kTensors = 30;

Metadata metadata(std::string_view name) {
  Metadata m;
  m.set("general.architecture", Value::string("llama"));
  m.set("general.name", Value::string(std::string(name)));
  m.set("texts", Value::strings(std::vector<std::string>(50, "a longer piece of metadata")));
  return m;
}

std::vector<PlannedTensor> plan() {
  std::vector<PlannedTensor> out;
  for (size_t i = 0; i < kTensors; ++i)
    out.push_back({fmt::format("t{}", i), {static_cast<int64_t>(1 + i % 5), 256}, &encoding_f32()});
  return out;
}

std::vector<uint8_t> content(size_t i) {
  Random random(i);
  std::vector<uint8_t> out((1 + i % 5) * 1024);
  for (uint8_t& b : out) b = static_cast<uint8_t>(random.next());
  return out;
}

GgufWriteOptions options(uint64_t split_bytes, std::string fingerprint = "one") {
  GgufWriteOptions o;
  o.fingerprint = std::move(fingerprint);
  o.split_bytes = split_bytes;
  return o;
}

/// What is missing, up to `stop` tensors.
Status write(const std::string& path, const GgufWriteOptions& o, size_t stop = kTensors,
             std::string_view name = "sample") {
  CARAT_TRY(auto writer, create_gguf(path, metadata("planned"), plan(), o));
  for (size_t i = 0; i < writer->records().size(); ++i)
    if (writer->records()[i] != fmt::format("record {}", i))
      return error(Code::internal, "record {} differs", i);
  for (size_t i = writer->completed(); i < kTensors; ++i) {
    if (i == stop) return {};
    CARAT_DO(writer->write(content(i)));
    CARAT_DO(writer->finish_tensor(fmt::format("record {}", i)));
    CARAT_TRY(const std::vector<uint8_t> back, writer->read_back(i / 2));
    if (back != content(i / 2)) return error(Code::internal, "tensor {} reads back differently", i / 2);
  }
  Metadata final = metadata("planned");
  final.set("general.name", Value::string(std::string(name).append("planned").substr(0, 7)));
  return writer->finish(&final);
}

void expect_whole(const std::string& path) {
  const auto read = read_gguf(path);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->metadata.entries().size(), 3u);
  EXPECT_EQ(**read->metadata.string_at("general.name"), "samplep");
  ASSERT_EQ(read->tensors.size(), kTensors);
  for (size_t i = 0; i < kTensors; ++i) {
    const Tensor& t = read->tensors[i];
    EXPECT_EQ(t.name, fmt::format("t{}", i));
    std::vector<uint8_t> bytes(t.bytes());
    ASSERT_TRUE(t.data->read_bytes(0, t.rows(), bytes.data()).ok());
    EXPECT_EQ(bytes, content(i));
  }
}

TEST(SplitGguf, IsWrittenAtAnySizeAndReadFromAnyPart) {
  for (const uint64_t size : {1u, 5'000u, 9'000u, 20'000u, 60'000u, 1'000'000u}) {
    TempDirectory dir;
    const std::string path = dir / "m.gguf";
    ASSERT_TRUE(write(path, options(size)).ok());
    const auto files = gguf_files(path, metadata("planned"), plan(), size);
    ASSERT_TRUE(files.ok());
    size_t found = 0;
    for (const auto& entry : fs::directory_iterator(dir.path())) found += entry.is_regular_file();
    EXPECT_EQ(found, files->size());
    for (const std::string& file : *files) {
      expect_whole(file);
      // One tensor, and the header of the first part, may be larger.
      if (size >= 9'000) {
        EXPECT_LE(fs::file_size(file), size);
      }
    }
    EXPECT_EQ(files->size() == 1, size == 1'000'000u);
    if (files->size() == 1) {
      EXPECT_EQ(files->front(), path);
    }
  }
}

TEST(SplitGguf, GoesOnWhereItStoppedToTheSameBytes) {
  TempDirectory dir;
  ASSERT_TRUE(write(dir / "whole.gguf", options(20'000)).ok());
  const auto files = *gguf_files(dir / "whole.gguf", metadata("planned"), plan(), 20'000);
  for (const size_t stop : {size_t{0}, size_t{3}, size_t{7}, size_t{16}, kTensors - 1}) {
    const std::string path = dir / fmt::format("m{}.gguf", stop);
    ASSERT_TRUE(write(path, options(20'000), stop).ok());
    EXPECT_FALSE(write(path, options(20'000)).ok());  // a partial file is in the way
    GgufWriteOptions other = options(20'000, "another");
    other.resume = true;
    EXPECT_FALSE(write(path, other).ok());
    GgufWriteOptions resume = options(20'000);
    resume.resume = true;
    const Status resumed = write(path, resume);
    ASSERT_TRUE(resumed.ok()) << resumed.error().message;
    const auto again = *gguf_files(path, metadata("planned"), plan(), 20'000);
    for (size_t i = 0; i < files.size(); ++i) EXPECT_EQ(file_text(again[i]), file_text(files[i])) << stop;
  }
  // Killed while the parts got their names: the last ones have theirs, the first does not.
  const std::string path = dir / "late.gguf";
  ASSERT_TRUE(write(path, options(20'000), kTensors - 1).ok());
  const auto late = *gguf_files(path, metadata("planned"), plan(), 20'000);
  fs::remove(late.back() + ".journal");
  fs::rename(late.back() + ".partial", late.back());
  GgufWriteOptions resume = options(20'000);
  resume.resume = true;
  ASSERT_TRUE(write(path, resume).ok());
  for (size_t i = 0; i < files.size(); ++i) EXPECT_EQ(file_text(late[i]), file_text(files[i]));
}

TEST(SplitGguf, MissingForeignAndRenamedPartsAreNamed) {
  TempDirectory dir;
  ASSERT_TRUE(write(dir / "m.gguf", options(20'000)).ok());
  ASSERT_TRUE(write(dir / "o.gguf", options(20'000, "another")).ok());
  const auto files = *gguf_files(dir / "m.gguf", metadata("planned"), plan(), 20'000);
  const auto other = *gguf_files(dir / "o.gguf", metadata("planned"), plan(), 20'000);
  ASSERT_GE(files.size(), 3u);
  const auto refused = [](const std::string& path, Code code, std::string_view says) {
    const auto read = read_gguf(path);
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, code) << read.error().message;
    EXPECT_NE(read.error().message.find(says), std::string::npos) << read.error().message;
  };
  const std::string second = file_text(files[1]);
  fs::remove(files[1]);
  refused(files[0], Code::no_input, "it is part 2 of");
  refused(files[0], Code::no_input, files[1]);
  write_file(files[1], file_text(other[1]));
  refused(files[2], Code::bad_data, "belongs to another model");
  write_file(files[1], file_text(files[2]));
  refused(files[0], Code::bad_data, "but it says that it is part 3");
  write_file(files[1], second.substr(0, second.size() - 2000));
  refused(files[0], Code::bad_data, "truncated");
  write_file(dir / "renamed.gguf", second);
  refused(dir / "renamed.gguf", Code::bad_data, "should end in -00002-of-0000");
  write_file(files[1], second);
  expect_whole(files[0]);
}

TEST(SplitGguf, NamesOfPartsAreTheirs) {
  const auto name = parse_part_name("/a/b-00002-of-00013.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->prefix, "/a/b");
  EXPECT_EQ(name->number, 1u);
  EXPECT_EQ(name->count, 13u);
  EXPECT_EQ(part_path("/a/b", 1, 13), "/a/b-00002-of-00013.gguf");
  for (const char* other :
       {"b.gguf", "b-00000-of-00003.gguf", "b-00004-of-00003.gguf", "b-0001-of-00003.gguf",
        "-00001-of-00003.gguf", "b-00001-of-00003.bin", "b-0000x-of-00003.gguf"})
    EXPECT_FALSE(parse_part_name(other)) << other;
}

}  // namespace
}  // namespace carat
