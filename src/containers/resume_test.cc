// A writer that is killed, and the one that goes on after it.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "containers/gguf.h"
#include "containers/partial_file.h"
#include "containers/test_files.h"

namespace carat {
namespace {

using testing::file_text;
using testing::TempDirectory;
using testing::write_file;

constexpr size_t tensor_count = 40;

Metadata metadata(bool final) {
  Metadata m;
  m.set("general.name", Value::string("sample"));
  m.set("errors", Value::f32s(std::vector<float>(tensor_count, final ? 0.5f : 0.0f)));
  return m;
}

std::vector<PlannedTensor> plan() {
  std::vector<PlannedTensor> out;
  for (size_t i = 0; i < tensor_count; ++i) {
    out.push_back({fmt::format("t{}", i), {static_cast<int64_t>(1 + i % 7), 1000}, &encoding_f32()});
  }
  return out;
}

std::vector<uint8_t> content(size_t tensor, size_t bytes) {
  Random random(tensor);
  std::vector<uint8_t> out(bytes);
  for (uint8_t& b : out) b = static_cast<uint8_t>(random.next());
  return out;
}

std::string record(size_t i) { return fmt::format("tensor {}\nwith \\ and more", i); }

/// Writes all that is missing, or up to `stop` tensors. The pause lets a kill fall anywhere.
Status write_all(const std::string& path, GgufWriteOptions options, size_t stop, useconds_t pause) {
  CARAT_TRY(auto writer, create_gguf(path, metadata(false), plan(), options));
  for (size_t i = 0; i < writer->records().size(); ++i) {
    if (writer->records()[i] != record(i)) return error(Code::internal, "record {} differs", i);
  }
  for (size_t i = writer->completed(); i < tensor_count; ++i) {
    if (i == stop) return {};
    const auto bytes = content(i, (1 + i % 7) * 4000);
    CARAT_DO(writer->write(Bytes(bytes).first(4000)));
    if (pause > 0) usleep(pause);
    CARAT_DO(writer->write(Bytes(bytes).subspan(4000)));
    CARAT_DO(writer->finish_tensor(record(i)));
  }
  const Metadata final = metadata(true);
  return writer->finish(&final);
}

GgufWriteOptions resuming() { return {.fingerprint = "job", .resume = true, .discard_partial = false}; }

TEST(Resume, after_kills_at_random_moments_the_bytes_are_the_same) {
  TempDirectory dir;
  ASSERT_TRUE(write_all(dir / "whole.gguf", resuming(), tensor_count, 0).ok());
  const std::string expected = file_text(dir / "whole.gguf");
  Random random(3);
  const std::string path = dir / "killed.gguf";
  for (int round = 0; round < 6; ++round) {
    for (int kill_after = 0; !std::filesystem::exists(path); ++kill_after) {
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        // Few tensors per turn at first, so that many turns resume from a journal that the destructor synced.
        const size_t stop = kill_after % 3 == 0 ? random.next() % tensor_count : tensor_count;
        const Status s = write_all(path, resuming(), stop, 300);
        _exit(s.ok() ? 0 : 1);
      }
      usleep(static_cast<useconds_t>(random.next() % 15000));
      if (kill_after < 12) kill(child, SIGKILL);
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    }
    EXPECT_EQ(file_text(path), expected);
    EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
    std::filesystem::remove(path);
  }
}

/// As above where every piece is synced and journaled on its own, so that kills fall into those steps as
/// well.
TEST(Resume, after_kills_between_syncs_nothing_journaled_is_missing) {
  TempDirectory dir;
  PartialFile::Plan job;
  job.path = dir / "pieces";
  job.identity = std::string(64, 'a');
  job.header = "header";
  std::string expected = "HEADER";
  for (size_t i = 0; i < 60; ++i) {
    const auto bytes = content(i, 100 + 97 * i);
    expected.append(bytes.begin(), bytes.end());
    job.ends.push_back(expected.size());
  }
  job.total = expected.size();
  job.resume = true;
  job.sync_bytes = 1;
  const auto write_pieces = [&]() -> Status {
    CARAT_TRY(auto file, PartialFile::open(job));
    for (size_t i = file->records().size(); i < job.ends.size(); ++i) {
      CARAT_DO(file->append(content(i, 100 + 97 * i)));
      CARAT_DO(file->mark(std::to_string(i)));
    }
    return file->finish("HEADER");
  };
  Random random(4);
  size_t resumed = 0;
  for (int turn = 0; !std::filesystem::exists(job.path); ++turn) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(write_pieces().ok() ? 0 : 1);
    usleep(static_cast<useconds_t>(random.next() % 4000));
    if (turn < 40) kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    if (std::filesystem::exists(job.path)) break;
    auto file = PartialFile::open(job);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_GE((*file)->records().size(), resumed) << "what was journaled once stays";
    resumed = (*file)->records().size();
  }
  EXPECT_EQ(file_text(job.path), expected);
}

/// A partial file with the first 11 tensors in its journal.
struct Partial : ::testing::Test {
  TempDirectory dir;
  std::string path = dir / "a.gguf";
  std::string expected;

  void SetUp() override {
    ASSERT_TRUE(write_all(dir / "whole.gguf", resuming(), tensor_count, 0).ok());
    expected = file_text(dir / "whole.gguf");
    ASSERT_TRUE(write_all(path, resuming(), 11, 0).ok());
  }
  size_t resumed_at() {
    auto writer = create_gguf(path, metadata(false), plan(), resuming());
    EXPECT_TRUE(writer.ok()) << writer.error().message;
    return writer.ok() ? (*writer)->completed() : 0;
  }
  void expect_completes() {
    const Status s = write_all(path, resuming(), tensor_count, 0);
    ASSERT_TRUE(s.ok()) << s.error().message;
    EXPECT_EQ(file_text(path), expected);
  }
};

TEST_F(Partial, is_resumed_where_it_stopped) {
  EXPECT_EQ(resumed_at(), 11u);
  EXPECT_EQ(resumed_at(), 11u);
  expect_completes();
}

TEST_F(Partial, is_not_touched_without_leave) {
  const std::string before = file_text(path + ".partial");
  const auto writer = create_gguf(path, metadata(false), plan(), {.fingerprint = "job"});
  EXPECT_EQ(writer.error().code, Code::usage);
  EXPECT_EQ(file_text(path + ".partial"), before);
}

TEST_F(Partial, is_discarded_with_leave) {
  auto writer = create_gguf(path, metadata(false), plan(), {.fingerprint = "job", .discard_partial = true});
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ((*writer)->completed(), 0u);
}

TEST_F(Partial, of_another_job_is_refused_and_left_alone) {
  GgufWriteOptions other = resuming();
  other.fingerprint = "another job";
  const std::string before = file_text(path + ".partial");
  const auto writer = create_gguf(path, metadata(false), plan(), other);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, Code::usage);
  EXPECT_NE(writer.error().message.find("was begun from another input"), std::string::npos);
  EXPECT_EQ(file_text(path + ".partial"), before);
  EXPECT_EQ(resumed_at(), 11u);
}

TEST_F(Partial, of_another_job_and_only_such_a_one_is_discarded_with_leave_for_both) {
  GgufWriteOptions both = resuming();
  both.discard_partial = true;
  {
    const auto own = create_gguf(path, metadata(false), plan(), both);
    ASSERT_TRUE(own.ok()) << own.error().message;
    EXPECT_EQ((*own)->completed(), 11u);
  }
  both.fingerprint = "another job";
  {
    const auto other = create_gguf(path, metadata(false), plan(), both);
    ASSERT_TRUE(other.ok()) << other.error().message;
    EXPECT_EQ((*other)->completed(), 0u);
  }
  EXPECT_EQ(create_gguf(path, metadata(false), plan(), resuming()).error().code, Code::usage);
}

TEST_F(Partial, that_another_process_writes_is_refused) {
  auto writer = create_gguf(path, metadata(false), plan(), resuming());
  ASSERT_TRUE(writer.ok());
  const auto second = create_gguf(path, metadata(false), plan(), resuming());
  EXPECT_EQ(second.error().code, Code::usage);
}

/// A process that was killed has its locks until the system is done with it.
TEST_F(Partial, whose_writer_is_about_to_end_is_waited_for) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto writer = create_gguf(path, metadata(false), plan(), resuming());
    const char byte = writer.ok() ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    usleep(300'000);
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  EXPECT_EQ(resumed_at(), 11u);
  int status = 0;
  waitpid(child, &status, 0);
  expect_completes();
  close(ready[0]), close(ready[1]);
}

TEST_F(Partial, with_a_bit_that_fell_over_steps_back_to_it) {
  std::string bytes = file_text(path + ".partial");
  size_t data = 0;  // of all tensors in the finished file
  for (size_t i = 0; i < tensor_count; ++i) data += (1 + i % 7) * 4000;
  bytes[expected.size() - data + (1 + 2 + 3) * 4000 + 5] ^=
      0x10;  // tensors of multiples of 32 bytes; the fourth
  write_file(path + ".partial", bytes);
  EXPECT_EQ(resumed_at(), 3u);
  expect_completes();
}

TEST_F(Partial, with_a_torn_journal_line_loses_that_tensor_only) {
  std::string journal = file_text(path + ".journal");
  journal.resize(journal.size() - 5);
  write_file(path + ".journal", journal);
  EXPECT_EQ(resumed_at(), 10u);
  expect_completes();
}

TEST_F(Partial, with_an_altered_journal_line_ends_before_it) {
  std::string journal = file_text(path + ".journal");
  const size_t at = journal.find("tensor 4");
  ASSERT_NE(at, std::string::npos);
  journal[at] = 'T';
  write_file(path + ".journal", journal);
  EXPECT_EQ(resumed_at(), 4u);
  expect_completes();
}

TEST_F(Partial, whose_last_tensors_did_not_reach_the_disk_steps_back) {
  std::string bytes = file_text(path + ".partial");
  const auto whole = read_gguf(dir / "whole.gguf");
  const auto at =
      static_cast<size_t>(whole->tensors[9].data->mapped().data() - whole->tensors[0].data->mapped().data());
  const size_t data_start = expected.size() - [&] {
    size_t n = 0;
    for (const Tensor& t : whole->tensors) n += (t.bytes() + 31) / 32 * 32;
    return n;
  }();
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(data_start + at), bytes.end(), '\0');
  write_file(path + ".partial", bytes);
  EXPECT_EQ(resumed_at(), 9u);
  expect_completes();
}

TEST_F(Partial, that_was_cut_short_steps_back) {
  std::filesystem::resize_file(path + ".partial", 50000);
  EXPECT_LT(resumed_at(), 11u);
  expect_completes();
}

TEST_F(Partial, without_a_journal_starts_again) {
  std::filesystem::remove(path + ".journal");
  EXPECT_EQ(resumed_at(), 0u);
  expect_completes();
}

TEST(Resume, a_journal_left_alone_is_not_believed) {
  TempDirectory dir;
  const std::string path = dir / "a.gguf";
  ASSERT_TRUE(write_all(path, resuming(), 11, 0).ok());
  std::filesystem::remove(path + ".partial");
  auto writer = create_gguf(path, metadata(false), plan(), resuming());
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ((*writer)->completed(), 0u);
}

TEST(Resume, an_output_that_is_no_regular_file_is_refused) {
  TempDirectory dir;
  const std::string path = dir / "pipe";  // stands for /dev/null, which a rename would replace
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto writer = create_gguf(path, metadata(false), plan(), resuming());
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, Code::usage);
  EXPECT_TRUE(std::filesystem::is_fifo(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

}  // namespace
}  // namespace carat
