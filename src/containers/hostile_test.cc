// One file per class of attack that loaders of these formats have met (advisories of Talos 2024-01,
// CVE-2024-23605, CVE-2025-53630, CVE-2026-27940, CVE-2026-33298, CVE-2026-7482 and the reports around them),
// and random damage. Each must end in one sentence, within memory of the file's size plus 64 MB.
#include <unistd.h>

#include <functional>

#include "base/random.h"
#include "containers/gguf.h"
#include "containers/safetensors.h"
#include "containers/test_files.h"

namespace carat {
namespace {

using testing::Blob;
using testing::safetensors_bytes;
using testing::TempDirectory;
using testing::write_file;

constexpr uint64_t allowance = 64 << 20;

template <class Read>
auto read_bounded(Read read, uint64_t file_bytes) {
  const size_t before = testing::allocated_now();
  testing::reset_allocated_peak();
  auto result = read();
  EXPECT_LE(testing::allocated_peak() - before, file_bytes + allowance);
  return result;
}

void expect_refused(const Result<Checkpoint>& r, std::string_view path, std::string_view part) {
  ASSERT_FALSE(r.ok()) << "accepted: " << part;
  EXPECT_EQ(r.error().code, Code::bad_data) << r.error().message;
  EXPECT_NE(r.error().message.find(part), std::string::npos) << r.error().message;
  EXPECT_TRUE(r.error().message.starts_with(path)) << "does not name the file: " << r.error().message;
  EXPECT_LT(r.error().message.size(), 600u) << "a sentence, not the file";
  EXPECT_EQ(r.error().message.find('\n'), std::string::npos);
}

void expect_gguf_refused(const std::string& bytes, std::string_view part) {
  TempDirectory dir;
  write_file(dir / "bad.gguf", bytes);
  expect_refused(read_bounded([&] { return read_gguf(dir / "bad.gguf"); }, bytes.size()), dir.path(), part);
}

Blob one_tensor(const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
  return Blob().gguf(1, 0).tensor("t", ne, type, offset).pad(32);
}

TEST(HostileGguf, is_no_gguf_file) {
  expect_gguf_refused("", "not a GGUF file");
  expect_gguf_refused("GGU", "not a GGUF file");
  expect_gguf_refused(std::string(64, '\0'), "starts with zeros");
  expect_gguf_refused("ggml" + std::string(64, '\0'), "starts with \"ggml\"");
  expect_gguf_refused("GGUF", "inside the version");
}

TEST(HostileGguf, version) {
  expect_gguf_refused(Blob().gguf(0, 0, 1).bytes, "version 1 is not read");
  expect_gguf_refused(Blob().gguf(0, 0, 0).bytes, "version 0 is not known");
  expect_gguf_refused(Blob().gguf(0, 0, 4).bytes, "version 4 is not known");
  expect_gguf_refused(Blob().gguf(0, 0, 0x03000000).bytes, "big-endian");
}

TEST(HostileGguf, counts_beyond_the_file) {
  for (const uint64_t n : {UINT64_MAX, uint64_t{1} << 63, uint64_t{1} << 60, uint64_t{1000000}}) {
    expect_gguf_refused(Blob().gguf(n, 0).zeros(100).bytes, "tensors, but only 100 bytes remain");
    expect_gguf_refused(Blob().gguf(0, n).zeros(100).bytes, "metadata keys, but only 100 bytes remain");
    expect_gguf_refused(Blob().gguf(0, 1).u64(n).zeros(100).bytes, "bytes, but");
    expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(8).u64(n).zeros(100).bytes, "bytes, but");
    expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(4).u64(n).zeros(100).bytes,
                        "elements of type u32");
    expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(8).u64(n).zeros(100).bytes,
                        "elements of type string");
    expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(8).u64(1).u64(n).zeros(100).bytes,
                        "bytes, but");
    expect_gguf_refused(Blob().gguf(1, 0).u64(n).zeros(100).bytes, "bytes, but");
  }
}

TEST(HostileGguf, truncated_anywhere) {
  Blob b;
  b.gguf(2, 3).text("a").u32(8).text("value").text("b").u32(9).u32(8).u64(2).text("x").text("y");
  b.text("general.alignment").u32(4).u32(64);
  b.tensor("t", {4, 2}, 0, 0).tensor("u", {32}, 2, 64).pad(64).zeros(82);
  TempDirectory dir;
  write_file(dir / "a.gguf", b.bytes);
  const auto whole = read_gguf(dir / "a.gguf");
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  for (size_t n = 0; n < b.bytes.size(); ++n) expect_gguf_refused(b.bytes.substr(0, n), "");
}

TEST(HostileGguf, metadata_types) {
  expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(13).zeros(32).bytes, "unknown value type 13");
  expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(77).u64(1).zeros(32).bytes, "unknown type 77");
  expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(9).u64(1).zeros(32).bytes, "array of arrays");
  expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(7).plain("\2").zeros(32).bytes,
                      "bool with the value 2");
  expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(7).u64(1).plain("\3").zeros(32).bytes,
                      "bool with the value 3");
}

TEST(HostileGguf, names) {
  expect_gguf_refused(Blob().gguf(0, 2).text("k").u32(4).u32(0).text("k").u32(4).u32(0).zeros(32).bytes,
                      "\"k\" appears twice");
  expect_gguf_refused(Blob().gguf(0, 1).text("").u32(4).u32(0).zeros(32).bytes, "name of 0 bytes");
  expect_gguf_refused(Blob().gguf(0, 1).text(std::string(70000, 'k')).u32(4).u32(0).bytes,
                      "name of 70000 bytes");
  expect_gguf_refused(
      Blob().gguf(2, 0).tensor("t", {8}, 0, 0).tensor("t", {8}, 0, 32).pad(32).zeros(64).bytes,
      "two tensors are named \"t\"");
  expect_gguf_refused(Blob().gguf(1, 0).tensor("", {8}, 0, 0).pad(32).zeros(32).bytes, "empty");
  expect_gguf_refused(
      Blob().gguf(1, 0).tensor(std::string_view("a\0b", 3), {8}, 0, 0).pad(32).zeros(32).bytes, "zero byte");
  expect_gguf_refused(Blob().gguf(1, 0).tensor(std::string(5000, '\n'), {0}, 0, 0).bytes, "dimension 0 is 0");
}

TEST(HostileGguf, alignment) {
  for (const uint32_t a : {0u, 1u, 4u, 24u, 33u, 1u << 21, 1u << 31, UINT32_MAX}) {
    expect_gguf_refused(Blob().gguf(0, 1).text("general.alignment").u32(4).u32(a).zeros(64).bytes,
                        "must be a power of two");
  }
  expect_gguf_refused(Blob().gguf(0, 1).text("general.alignment").u32(10).u64(32).zeros(64).bytes,
                      "is not a u32");
  expect_gguf_refused(Blob().gguf(0, 1).text("general.alignment").u32(8).text("32").zeros(64).bytes,
                      "is not a u32");
}

TEST(HostileGguf, shapes) {
  expect_gguf_refused(one_tensor({1, 1, 1, 1, 1}, 0, 0).zeros(32).bytes, "claims 5 dimensions");
  expect_gguf_refused(Blob().gguf(1, 0).text("t").u32(UINT32_MAX).zeros(64).bytes,
                      "claims 4294967295 dimensions");
  expect_gguf_refused(one_tensor({0}, 0, 0).zeros(32).bytes, "dimension 0 is 0");
  expect_gguf_refused(one_tensor({8, uint64_t(-1)}, 0, 0).zeros(32).bytes, "dimension 1 is -1");
  expect_gguf_refused(one_tensor({8, 1ull << 62, 8}, 0, 0).zeros(32).bytes, "overflow");
  // The product is 2^64, or small only after wrapping.
  expect_gguf_refused(one_tensor({1ull << 32, 1ull << 32}, 0, 0).zeros(32).bytes, "overflow");
  expect_gguf_refused(one_tensor({1ull << 31, 1ull << 31, 1, 4}, 0, 0).zeros(32).bytes, "overflow");
  // Few bytes per element: the elements overflow before the bytes do.
  expect_gguf_refused(one_tensor({1ull << 62, 2}, 41, 0).zeros(32).bytes, "overflow");
  expect_gguf_refused(one_tensor({33}, 2, 0).zeros(64).bytes, "do not fit Q4_0");
  expect_gguf_refused(one_tensor({1ull << 40}, 0, 0).zeros(64).bytes, "needs 4398046511104 bytes");
}

TEST(HostileGguf, tensor_types) {
  for (const uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u}) {
    expect_gguf_refused(one_tensor({256}, id, 0).zeros(512).bytes, "until GGUF removed it");
  }
  for (const uint32_t id : {43u, 97u, 1000u, 0x80000000u, UINT32_MAX}) {
    expect_gguf_refused(one_tensor({256}, id, 0).zeros(512).bytes, "which this program does not know");
  }
}

// Types of carat's own that stand for no encoding, and shapes that only just do not fit one.
TEST(HostileGguf, grouped_types) {
  for (const uint32_t id : {0xCA000080u, 0xCA090080u, 0xCA030010u, 0xCA030081u, 0xCA03ffffu, 0xCA110000u,
                            0xCB030080u, 0xC9030080u}) {
    expect_gguf_refused(one_tensor({256}, id, 0).zeros(512).bytes, "which this program does not know");
  }
  expect_gguf_refused(one_tensor({192, 2}, 0xCA030080, 0).zeros(512).bytes, "do not fit INT4_G128");
  expect_gguf_refused(one_tensor({40}, 0xCA040000, 0).zeros(512).bytes, "do not fit INT8_CHANNEL");
  expect_gguf_refused(one_tensor({65504}, 0xCA01ffe0, 0).zeros(512).bytes, "needs");
  // Rows whose bytes overflow only with their parameters, and columns near the largest number there is.
  for (const uint32_t id : {0xCA040000u, 0xCA040020u, 0xCA080000u, 0xCA100000u, 0xCA110040u})
    for (const uint64_t columns : {uint64_t{1} << 62, (uint64_t{1} << 63) - 64, (uint64_t{1} << 63) - 16384})
      for (const uint64_t rows : {1, 2, 1 << 20})
        expect_gguf_refused(one_tensor({columns, rows}, id, 0).zeros(512).bytes, "tensor \"t\"");
}

TEST(HostileGguf, offsets) {
  // Data outside the file, which a quantizer would read and give away in its output.
  expect_gguf_refused(one_tensor({8}, 0, 0).zeros(31).bytes, "the file ends at");
  expect_gguf_refused(one_tensor({8}, 0, 0).bytes, "the file ends at");
  for (const uint64_t offset : {uint64_t{32}, uint64_t{1}, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 31}) {
    expect_gguf_refused(one_tensor({8}, 0, offset).zeros(64).bytes, "without gap or overlap");
  }
  const auto two = [](uint64_t first, uint64_t second) {
    return Blob().gguf(2, 0).tensor("t", {8}, 0, first).tensor("u", {8}, 0, second).pad(32).zeros(256).bytes;
  };
  expect_gguf_refused(two(0, 0), "\"u\" claims to start at byte 0");    // the same bytes twice
  expect_gguf_refused(two(0, 16), "\"u\" claims to start at byte 16");  // overlap
  expect_gguf_refused(two(0, 96), "\"u\" claims to start at byte 96");  // hole
  expect_gguf_refused(two(32, 0), "\"t\" claims to start at byte 32");  // out of order
}

TEST(HostileGguf, a_part_of_a_split_model) {
  expect_gguf_refused(Blob().gguf(0, 1).text("split.count").u32(2).raw(uint16_t{3}).zeros(64).bytes,
                      "it should end in -00001-of-00003.gguf");
  expect_gguf_refused(Blob()
                          .gguf(0, 2)
                          .text("split.count")
                          .u32(2)
                          .raw(uint16_t{3})
                          .text("split.no")
                          .u32(2)
                          .raw(uint16_t{3})
                          .zeros(64)
                          .bytes,
                      "it says that it is part 4 of 3");
}

TEST(HostileGguf, small_in_the_file_but_large_in_memory) {
  // 8 bytes per empty string, 1 per u8: 32 and 8 in memory.
  const uint64_t n = 8 << 20;
  expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(8).u64(n).zeros(n * 8).bytes,
                      "more memory than");
  expect_gguf_refused(Blob().gguf(0, 1).text("k").u32(9).u32(0).u64(n).zeros(n).bytes + "x", "");
  Blob keys;
  keys.gguf(0, 300000);
  for (uint32_t i = 0; i < 300000; ++i) keys.u64(4).u32(i).u32(0).zeros(1);
  expect_gguf_refused(keys.bytes, "more memory than");
  Blob tensors;
  tensors.gguf(300000, 0);
  for (uint32_t i = 0; i < 300000; ++i) tensors.u64(4).u32(i + 0x01010101).u32(0).u32(0).u64(32ull * i);
  expect_gguf_refused(tensors.bytes, "more memory than");
}

/// The most a file may legitimately list stays within the bound too, and in linear time.
TEST(HostileGguf, as_many_entries_as_are_allowed) {
  TempDirectory dir;
  Blob b;
  const uint32_t n = 60000;
  b.gguf(n, n / 2);
  for (uint32_t i = 0; i < n / 2; ++i) b.u64(4).u32(i).u32(0).zeros(1);
  for (uint32_t i = 0; i < n; ++i)
    b.u64(20).plain(fmt::format("{:020}", i)).u32(1).u64(8).u32(0).u64(32ull * i);
  b.pad(32).zeros(32 * n);
  write_file(dir / "many.gguf", b.bytes);
  const auto r = read_bounded([&] { return read_gguf(dir / "many.gguf"); }, b.bytes.size());
  ASSERT_TRUE(r.ok()) << r.error().message;
  EXPECT_EQ(r->tensors.size(), n);
}

void expect_safetensors_refused(const std::string& bytes, std::string_view part) {
  TempDirectory dir;
  write_file(dir / "bad.safetensors", bytes);
  expect_refused(read_bounded([&] { return read_safetensors(dir / "bad.safetensors"); }, bytes.size()),
                 dir.path(), part);
}

TEST(HostileSafetensors, header_size) {
  expect_safetensors_refused("", "not a safetensors file");
  expect_safetensors_refused("1234567", "not a safetensors file");
  for (const uint64_t n : {uint64_t{3}, uint64_t{1} << 40, uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 7}) {
    expect_safetensors_refused(Blob().u64(n).plain("{}").bytes, "bytes, but 2 remain");
  }
  expect_safetensors_refused(Blob().u64(0).bytes, "does not start with");
  expect_safetensors_refused(safetensors_bytes("[]", ""), "does not start with");
  std::string huge = Blob().u64(100'000'001).plain("{").bytes;
  huge.resize(8 + 100'000'001, ' ');
  expect_safetensors_refused(huge, "100000000 are allowed");
}

TEST(HostileSafetensors, json) {
  expect_safetensors_refused(safetensors_bytes("{", ""), "not valid JSON");
  expect_safetensors_refused(safetensors_bytes("{}x", ""), "something follows");
  expect_safetensors_refused(safetensors_bytes("{\"a\xff\":1}", ""), "not valid JSON");
  expect_safetensors_refused(safetensors_bytes("{\"a\":" + std::string(1 << 20, '['), ""), "none belongs");
  expect_safetensors_refused(safetensors_bytes(R"({"a":)" + std::string(1000, '{'), ""), "not valid JSON");
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += R"({"a":)";
  expect_safetensors_refused(safetensors_bytes(deep, ""), "unknown entry");
  expect_safetensors_refused(
      safetensors_bytes(R"({"__metadata__":{"k":")" + std::string(20 << 20, 'x') + R"("}})", ""),
      "longer than");
}

TEST(HostileSafetensors, entries) {
  const auto refused = [](std::string_view entry, std::string_view part) {
    expect_safetensors_refused(safetensors_bytes(fmt::format("{{\"t\":{}}}", entry), std::string(8, '\0')),
                               part);
  };
  refused("3", "where none belongs");
  refused("{}", "lacks its dtype");
  refused(R"({"dtype":"F32","shape":[2]})", "lacks its dtype");
  refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})", "needs two");
  refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,8]})", "more than two");
  refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})", "unknown entry \"x\"");
  refused(R"({"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]})", "two entries \"dtype\"");
  refused(R"({"dtype":"Q4_0","shape":[2],"data_offsets":[0,8]})", "unknown dtype \"Q4_0\"");
  refused(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})", "a number where none belongs");
  refused(R"({"dtype":"F32","shape":"2","data_offsets":[0,8]})", "a string where none belongs");
  refused(R"({"dtype":"F32","shape":[[2]],"data_offsets":[0,8]})", "an array where none belongs");
  refused(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", "neither");
  refused(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})", "neither");
  refused(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]})", "more than 8 dimensions");
  refused(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})", "dimension of");
  refused(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})", "overflows");
  refused(R"({"dtype":"F32","shape":[4611686018427387904,2],"data_offsets":[0,8]})", "overflows");
  refused(R"({"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})", "overflows");
  refused(
      R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[0],"data_offsets":[8,8]})",
      "two tensors are named");
  refused(
      R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]},"":{"dtype":"F32","shape":[0],"data_offsets":[8,8]})",
      "name has 0 bytes");
}

TEST(HostileSafetensors, offsets) {
  const auto refused = [](std::string_view a, std::string_view b, std::string_view part) {
    const std::string header = fmt::format(R"({{"a":{{"dtype":"F32","shape":[2],"data_offsets":[{}]}},)"
                                           R"("b":{{"dtype":"F32","shape":[2],"data_offsets":[{}]}}}})",
                                           a, b);
    expect_safetensors_refused(safetensors_bytes(header, std::string(16, '\0')), part);
  };
  refused("0,8", "0,8", "starts at byte 0");
  refused("0,8", "4,12", "starts at byte 4");
  refused("0,8", "12,20", "ends at byte 20");
  refused("0,8", "8,17", "do not hold the 8 bytes");
  refused("8,0", "8,16", "do not hold the 8 bytes");
  refused("0,8", "18446744073709551608,18446744073709551616", "neither");
  refused("0,8", "18446744073709551607,18446744073709551615", "ends at byte");
  expect_safetensors_refused(
      safetensors_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "12345"),
      "but the file has 5");
  expect_safetensors_refused(
      safetensors_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", "12345"),
      "starts at byte 1");
}

TEST(HostileSafetensors, small_in_the_file_but_large_in_memory) {
  std::string header = "{";
  for (int i = 0; i < 150000; ++i) {
    header += fmt::format(R"("{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},)", i);
  }
  header.back() = '}';
  expect_safetensors_refused(safetensors_bytes(header, ""), "more memory than");
  std::string metadata = R"({"__metadata__":{)";
  for (int i = 0; i < 500000; ++i) metadata += fmt::format(R"("{}":"",)", i);
  metadata.back() = '}';
  expect_safetensors_refused(safetensors_bytes(metadata + "}", ""), "more memory than");
}

struct HostileIndex : ::testing::Test {
  TempDirectory dir;
  void SetUp() override {
    std::filesystem::create_directory(dir / "model");
    write_file(dir / "model/s1", shard("a"));
    write_file(dir / "model/s2", shard("b"));
    write_file(dir / "outside", shard("b"));
  }
  static std::string shard(std::string_view name) {
    return safetensors_bytes(
        fmt::format(R"({{"{}":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}}})", name), "1234");
  }
  Result<Checkpoint> read(std::string_view index) {
    write_file(dir / "model/model.safetensors.index.json", index);
    return read_bounded([&] { return read_safetensors_directory(dir / "model"); }, index.size());
  }
  void refused(std::string_view index, std::string_view part) {
    expect_refused(read(index), dir.path(), part);
  }
};

TEST_F(HostileIndex, sound_one_for_comparison) {
  const auto r =
      read(R"({"metadata":{"total_size":8,"x":[{"weight_map":1}]},"weight_map":{"a":"s1","b":"s2"}})");
  ASSERT_TRUE(r.ok()) << r.error().message;
  EXPECT_EQ(r->tensors.size(), 2u);
}

TEST_F(HostileIndex, leads_outside_the_directory) {
  for (const std::string name :
       {"../outside", "./s2", "/etc/passwd", "sub/s2", "..", ".", "", "..\\\\outside"}) {
    refused(fmt::format(R"({{"weight_map":{{"a":"s1","b":"{}"}}}})", name),
            "not the name of a file beside it");
  }
  refused(R"({"weight_map":{"a":"s1","b":"s2\u0000x"}})", "not the name of a file beside it");
}

TEST_F(HostileIndex, names_something_that_is_no_file) {
  std::filesystem::create_directory(dir / "model/folder");
  refused(R"({"weight_map":{"a":"folder"}})", "is a directory");
  refused(R"({"weight_map":{"a":"s1","b":"s3"}})", "cannot be read");
  std::filesystem::create_symlink("/dev/zero", dir / "model/endless");
  refused(R"({"weight_map":{"a":"endless"}})", "device or pipe");
  std::filesystem::create_symlink("loop", dir / "model/loop");
  refused(R"({"weight_map":{"a":"loop"}})", "cannot be read");
}

TEST_F(HostileIndex, does_not_agree_with_the_shards) {
  refused(R"({"weight_map":{"a":"s1"}, "metadata":{}, "weight_map":{"b":"s1"}})", "two weight_maps");
  refused(R"({"weight_map":{"b":"s1","a":"s2"}})", "places in another shard");
  refused(R"({"weight_map":{"c":"s1"}})", "does not list");
  refused(R"({"weight_map":{"a":"s1","c":"s1"}})", "1 of the 2 tensors");
  refused(R"({"weight_map":{"a":"s1","a":"s1"}})", "names tensor \"a\" twice");
  write_file(dir / "model/s2", shard("a"));
  refused(R"({"weight_map":{"a":"s1","b":"s2"}})", "places in another shard");
}

TEST_F(HostileIndex, is_not_an_index) {
  refused("", "not valid JSON");
  refused("{}", "no weight_map");
  refused("[]", "no weight_map");
  refused(R"({"weight_map":[]})", "must map tensor names to file names");
  refused(R"({"weight_map":{"a":1}})", "must map tensor names to file names");
  refused(R"({"weight_map":{"a":{"b":"s1"}}})", "must map tensor names to file names");
  refused(R"({"weight_map":"s1"})", "must map tensor names to file names");
  refused(std::string(1000, '['), "not valid JSON");
  std::string many = R"({"weight_map":{)";
  for (int i = 0; i < 2000000; ++i) many += fmt::format(R"("{}":"s1",)", i);
  many.back() = '}';
  refused(many + "}", "more memory than");
}

/// Random damage to sound files: each result is a sentence or a checkpoint whose every byte can be read.
void mutate(const std::string& sound, const std::function<Result<Checkpoint>(const std::string&)>& read) {
  Random random(11);
  TempDirectory dir;
  const std::string path = dir / "mutated";
  size_t refused = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string bytes = sound;
    for (uint64_t n = 1 + random.next() % 4; n > 0; --n) {
      // Mostly in the header, where it matters.
      const size_t at =
          random.next() % (random.next() % 4 == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 400));
      switch (random.next() % 6) {
        case 0:
          bytes[at] = static_cast<char>(random.next());
          break;
        case 1:
          bytes[at] ^= static_cast<char>(1 << random.next() % 8);
          break;
        case 2:
          bytes[at] = random.next() % 2 == 0 ? '\xff' : '\0';
          break;
        case 3:
          bytes.resize(std::max<size_t>(at, 1));
          break;
        case 4:
          bytes.erase(at, random.next() % 9);
          break;
        default:
          bytes.insert(at, bytes.substr(random.next() % bytes.size(), random.next() % 20));
          break;
      }
      if (bytes.empty()) bytes = "x";
    }
    write_file(path, bytes);
    const auto r = read_bounded([&] { return read(path); }, bytes.size());
    if (!r.ok()) {
      ++refused;
      EXPECT_EQ(r.error().code, Code::bad_data);
      EXPECT_FALSE(r.error().message.empty());
      continue;
    }
    uint64_t total = 0;
    for (const Tensor& t : r->tensors) {
      std::vector<uint8_t> copy(t.bytes());
      ASSERT_TRUE(t.data->read_bytes(0, t.rows(), copy.data()).ok());
      total += copy.size();
    }
    EXPECT_LE(total, bytes.size());
  }
  EXPECT_GT(refused, 500u) << "the damage should mostly matter";
}

TEST(Mutated, gguf) {
  Blob b;
  b.gguf(3, 4).text("general.architecture").u32(8).text("llama").text("general.alignment").u32(4).u32(64);
  b.text("tokenizer.ggml.tokens").u32(9).u32(8).u64(3).text("a").text("b").text("cc");
  b.text("tokenizer.ggml.scores").u32(9).u32(6).u64(3).u32(0).u32(0x3f800000).u32(0);
  b.tensor("token_embd.weight", {32, 3}, 8, 0).tensor("blk.0.attn_q.weight", {256, 2}, 12, 128);
  b.tensor("output_norm.weight", {32}, 0, 448).pad(64).zeros(128 + 320 + 128);
  TempDirectory dir;
  write_file(dir / "sound", b.bytes);
  const auto sound = read_gguf(dir / "sound");
  ASSERT_TRUE(sound.ok()) << sound.error().message;
  mutate(b.bytes, read_gguf);
}

TEST(Mutated, safetensors) {
  const std::string bytes = safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"model.embed_tokens.weight":{"dtype":"BF16","shape":[8,16],"data_offsets":)"
      R"([0,256]},"model.norm.weight":{"dtype":"F32","shape":[16],"data_offsets":[256,320]}}   )",
      std::string(320, 'x'));
  TempDirectory dir;
  write_file(dir / "sound", bytes);
  const auto sound = read_safetensors(dir / "sound");
  ASSERT_TRUE(sound.ok()) << sound.error().message;
  mutate(bytes, read_safetensors);
}

}  // namespace
}  // namespace carat
