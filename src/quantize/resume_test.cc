// Promise: a killed run leaves the old file or none, and a resume ends in the same bytes as a run that was
// never stopped.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "quantize/stream.h"
#include "quantize/testing.h"

namespace carat {
namespace {

using namespace testing;

/// Some twenty tensors, two of them of two million weights.
const Checkpoint& model() {
  static const Checkpoint made = small_model(1024, 2000);
  return made;
}

std::string reference(const Folder& folder, const QuantizeOptions& options) {
  Runner runner;
  const auto report = quantize(runner.context(), model(), folder / "reference.gguf", options);
  EXPECT_TRUE(report.ok()) << report.error().message;
  return contents(folder / "reference.gguf");
}

TEST(Resume, AfterCancellationAtEveryMomentTheBytesAreTheSame) {
  Folder folder;
  QuantizeOptions options = options_for("Q4_K_M");
  const std::string expected = reference(folder, options);
  const std::string out = folder / "out.gguf";
  for (int stop_after = 1; stop_after <= 18; ++stop_after) {
    std::ofstream(out, std::ios::binary) << "the old file";
    Runner runner;
    int updates = 0;
    runner.on_update = [&](uint64_t) {
      if (++updates == stop_after) runner.cancellation.request();
    };
    options.resume = false;
    const auto interrupted = quantize(runner.context(), model(), out, options);
    ASSERT_FALSE(interrupted.ok()) << stop_after;
    EXPECT_EQ(interrupted.error().code, Code::interrupted) << interrupted.error().message;
    EXPECT_EQ(contents(out), "the old file");

    Runner second;
    const auto refused = quantize(second.context(), model(), out, options);
    EXPECT_EQ(refused.error().code, Code::usage) << "a partial file is in the way";
    options.resume = true;
    const auto resumed = quantize(second.context(), model(), out, options);
    ASSERT_TRUE(resumed.ok()) << resumed.error().message;
    EXPECT_TRUE(contents(out) == expected) << stop_after;
    EXPECT_FALSE(std::filesystem::exists(out + ".partial"));
    EXPECT_FALSE(std::filesystem::exists(out + ".journal"));
  }
}

/// Is told to stop while it rounds, and leaves the rest undone as rounders then do.
class StoppedRounder final : public Rounder {
 public:
  explicit StoppedRounder(Cancellation& cancellation) : cancellation_(cancellation) {}
  std::string_view name() const override { return "stopped"; }
  bool supports(const Encoding&) const override { return true; }
  Result<RoundingError> round(const Context&, const KernelTable&, const Encoding&, const SourceRows&,
                              const ColumnGuide&, uint8_t*) const override {
    cancellation_.request();
    return RoundingError{};
  }

 private:
  Cancellation& cancellation_;
};

TEST(Resume, ATensorWhoseRoundingWasStoppedIsNotRecorded) {
  Runner runner;
  const StoppedRounder rounder(runner.cancellation);
  auto work = plan_work(model(), options_for("Q4_K_M"));
  ASSERT_TRUE(work.ok()) << work.error().message;
  for (const Rounder*& r : work->rounders) r = &rounder;
  std::vector<TensorRecord> records;
  const Status status = measure_tensors(runner.context(), "test", model(), *work, records);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::interrupted);
  EXPECT_TRUE(records.empty());
}

TEST(Resume, TakesOverFinishedTensors) {
  Folder folder;
  QuantizeOptions options = options_for("Q4_K_M");
  Runner runner;
  int updates = 0;
  runner.on_update = [&](uint64_t) {
    if (++updates == 12) runner.cancellation.request();
  };
  ASSERT_FALSE(quantize(runner.context(), model(), folder / "out.gguf", options).ok());
  options.resume = true;
  Runner second;
  const auto resumed = quantize(second.context(), model(), folder / "out.gguf", options);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  EXPECT_GE(resumed->resumed_tensors, 8u);
}

TEST(Resume, AnotherSourceOrOtherOptionsAreRefused) {
  Folder folder;
  QuantizeOptions options = options_for("Q4_K_M");
  const auto interrupt = [&] {
    Runner runner;
    int updates = 0;
    runner.on_update = [&](uint64_t) {
      if (++updates == 6) runner.cancellation.request();
    };
    QuantizeOptions o = options;
    o.discard_partial = true;
    ASSERT_FALSE(quantize(runner.context(), model(), folder / "out.gguf", o).ok());
  };
  Runner runner;
  interrupt();
  QuantizeOptions other = options_for("Q4_K_S");
  other.resume = true;
  EXPECT_EQ(quantize(runner.context(), model(), folder / "out.gguf", other).error().code, Code::usage);
  other = options;
  other.method = "nearest";
  other.resume = true;
  EXPECT_EQ(quantize(runner.context(), model(), folder / "out.gguf", other).error().code, Code::usage);
  Checkpoint changed = model();
  changed.tensors.back() = random_tensor("output.weight", changed.tensors.back().shape, 77, encoding_bf16());
  options.resume = true;
  EXPECT_EQ(quantize(runner.context(), changed, folder / "out.gguf", options).error().code, Code::usage);
  // A change that no sample of the first and last bytes of a tensor sees.
  changed = model();
  std::vector<float> values = *changed.tensors[0].read_all();
  values[values.size() / 2] += 1;
  changed.tensors[0] =
      tensor_of(changed.tensors[0].name, changed.tensors[0].shape, values, *changed.tensors[0].encoding);
  const auto mixed = quantize(runner.context(), changed, folder / "out.gguf", options);
  ASSERT_FALSE(mixed.ok());
  EXPECT_EQ(mixed.error().code, Code::usage);
  EXPECT_NE(mixed.error().message.find("has changed"), std::string::npos) << mixed.error().message;
  EXPECT_TRUE(quantize(runner.context(), model(), folder / "out.gguf", options).ok());
}

/// A process of its own that quantizes, and is killed after `microseconds`. True if it had finished by then.
bool run_and_kill(const std::string& out, const QuantizeOptions& options, int microseconds) {
  const pid_t child = fork();
  if (child == 0) {
    Runner runner;
    const auto report = quantize(runner.context(), model(), out, options);
    _exit(report.ok() ? 0 : 1);
  }
  usleep(static_cast<useconds_t>(microseconds));
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) {
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
  return WIFEXITED(status);
}

TEST(Resume, AfterKillsAtRandomMomentsTheBytesAreTheSame) {
  Folder folder;
  QuantizeOptions options = options_for("Q4_K_M");
  const std::string expected = reference(folder, options);
  const int rounds = std::getenv("CARAT_FULL") ? 20 : 4;
  Random random(20);
  const std::string out = folder / "out.gguf";
  int all_kills = 0;
  for (int round = 0; round < rounds; ++round) {
    std::filesystem::remove(out);
    options.resume = false;
    int kills = 0;
    // Later attempts get longer, so that the loop ends however slow the machine is.
    for (int most = 20'000;; most += most / 2) {
      if (run_and_kill(out, options, static_cast<int>(random.uniform() * most))) break;
      ++kills;
      EXPECT_FALSE(std::filesystem::exists(out) && contents(out) != expected);
      options.resume = std::filesystem::exists(out + ".journal") || std::filesystem::exists(out + ".partial");
      if (std::filesystem::exists(out)) break;  // killed between the rename and the end
    }
    EXPECT_TRUE(contents(out) == expected) << "round " << round << " after " << kills << " kills";
    all_kills += kills;
  }
  EXPECT_GT(all_kills, 0);
}

}  // namespace
}  // namespace carat
