// A walk changes what is rounded, not what promises hold: same bytes for any number of threads and after any
// interruption; and it must pay, in what the model computes.
#include "quantize/block_walker.h"

#include <algorithm>

#include "arch/tiny_model.h"
#include "kernels/kernel_table.h"
#include "model/forward.h"
#include "quantize/testing.h"
#include "rounders/input_drift.h"
#include "stats/calibrate.h"
#include "stats/gram.h"
#include "stats/testing.h"

namespace carat {
namespace {

using namespace testing;

constexpr int64_t kContext = 24, kSequences = 12;

Checkpoint model(bool tied = false) {
  TinyShape shape{.layers = 3,
                  .width = 64,
                  .feed_forward = 128,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 16,
                  .vocabulary = 96};
  shape.tied = tied;
  return tiny_model("llama", shape, 5);
}

CalibrationText text(uint64_t seed = 3) {
  CalibrationText out = random_text(kSequences, kContext, 96, seed);
  out.digest = std::string(64, 'a');
  return out;
}

QuantizeOptions guided(const CalibrationText& with) {
  QuantizeOptions o = options_for("Q4_0");
  o.method = "gptq";
  o.text = &with;
  o.allow_fallback = true;  // rows of 64 columns
  return o;
}

/// Final hidden states of every token of `with`, in float.
std::vector<float> hidden_states(const Checkpoint& checkpoint, const CalibrationText& with,
                                 InputTap* tap = nullptr) {
  Runner runner;
  const auto weights = load_weights(runner.context(), checkpoint);
  EXPECT_TRUE(weights.ok()) << weights.error().message;
  const ModelConfig& c = weights->config;
  const KvFormat format{KvEncoding::f16, c.kv_heads, c.head_dim};
  const Model m{*weights, *default_kernel_table().value(), ActivationScheme::float32, nullptr, tap};
  std::vector<float> out(static_cast<size_t>(with.tokens() * c.width));
  ForwardScratch scratch;
  int64_t first = 0;
  for (const auto& tokens : with.sequences) {
    std::vector<std::vector<uint8_t>> memory;
    std::vector<KvView> views;
    for (int64_t l = 0; l < c.layers; ++l) {
      memory.emplace_back(static_cast<size_t>(format.bytes(kContext)) + 64);
      const auto at = (reinterpret_cast<uintptr_t>(memory.back().data()) + 63) / 64 * 64;
      views.push_back({reinterpret_cast<uint8_t*>(at), format});
    }
    const ForwardSegment segment{tokens, 0, views, kContext};
    forward(runner.pool, m, scratch, {&segment, 1}, out.data() + first * c.width);
    first += kContext;
  }
  return out;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

Checkpoint quantized(const Folder& folder, const Checkpoint& source, const QuantizeOptions& options) {
  Runner runner;
  const std::string path = folder / (options.method + ".gguf");
  const auto report = quantize(runner.context(), source, path, options);
  EXPECT_TRUE(report.ok()) << report.error().message;
  auto written = read_gguf(path);
  EXPECT_TRUE(written.ok());
  return *std::move(written);
}

TEST(BlockWalker, hidden_states_are_nearer_than_after_a_search_that_knows_no_inputs) {
  Folder folder;
  const Checkpoint source = model();
  const CalibrationText with = text();
  QuantizeOptions options = guided(with);
  const Checkpoint walked = quantized(folder, source, options);
  options.method = "search";
  options.text = nullptr;
  const Checkpoint searched = quantized(folder, source, options);
  for (const CalibrationText& other : {with, text(99)}) {  // the calibration's own sequences, and others
    const std::vector<float> expected = hidden_states(source, other);
    EXPECT_LT(distance(hidden_states(walked, other), expected),
              0.95 * distance(hidden_states(searched, other), expected));
  }
}

TEST(BlockWalker, matrices_are_guided_and_say_so) {
  Folder folder;
  const CalibrationText with = text();
  for (const bool tied : {false, true}) {
    Runner runner;
    QuantizeOptions options = guided(with);
    options.feedback.propagate = tied ? 0.5 : 0;
    const auto report = quantize(runner.context(), model(tied), folder / "out.gguf", options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    int guided_tensors = 0;
    for (const TensorReport& t : report->tensors) {
      const bool matrix = t.shape.size() == 2 && t.name != "token_embd.weight";
      EXPECT_EQ(t.guide.tokens, matrix ? with.tokens() : 0) << t.name;
      EXPECT_EQ(t.method == "gptq", matrix) << t.name;
      if (!matrix) continue;
      ++guided_tensors;
      EXPECT_DOUBLE_EQ(t.guide.damping, 0.05) << t.name;
      EXPECT_GT(t.guide.relative_loss, 0) << t.name;
      EXPECT_LT(t.guide.relative_loss, 0.02) << t.name;
      EXPECT_GT(t.guide.searched_loss, t.guide.relative_loss) << t.name;
      EXPECT_LT(t.guide.searched_loss, 10 * t.guide.relative_loss) << t.name;
    }
    EXPECT_EQ(guided_tensors, tied ? 21 : 22);
    const auto written = read_gguf(folder / "out.gguf");
    ASSERT_TRUE(written.ok());
    EXPECT_EQ(*written->metadata.string_at("carat.calibration.digest").value(), with.digest);
  }
}

/// A tied embedding gets the search, weighed by what it reads as the output matrix.
TEST(BlockWalker, TiedEmbeddingsAreWeighed) {
  Folder folder;
  const CalibrationText with = text();
  const Checkpoint source = model(true);
  const auto embedding = [](const Checkpoint& c) { return *c.find("token_embd.weight")->read_all(); };
  const std::vector<float> weighed = embedding(quantized(folder, source, guided(with)));
  QuantizeOptions options = guided(with);
  options.method = "search";
  options.text = nullptr;
  EXPECT_NE(weighed, embedding(quantized(folder, source, options)));
  // The statistics of all of the text say nearly the same as those of a part.
  Runner runner;
  const auto seen = calibrate(runner.context(), source, with, {});
  ASSERT_TRUE(seen.ok()) << seen.error().message;
  options.calibration = std::make_shared<const CalibrationStatistics>(seen->statistics);
  const std::vector<float> of_all = embedding(quantized(folder, source, options));
  size_t same = 0;
  for (size_t i = 0; i < of_all.size(); ++i) same += of_all[i] == weighed[i];
  EXPECT_GT(same, of_all.size() * 4 / 5);
}

/// Whether there are Hessians of what it reads, and it is quantized at all.
bool has_feedback(const TensorReport& t) {
  const auto is = [&](std::string_view part) { return t.name.find(part) != std::string::npos; };
  return t.shape.size() >= 2 && t.name.ends_with(".weight") && !is("_embd") && !is("ffn_gate_inp");
}

TEST(BlockWalker, every_family_is_walked) {
  Folder folder;
  Runner runner;
  for (const Family* family : all_families()) {
    SCOPED_TRACE(family->architecture);
    const TinyShape shape{.layers = 2,
                          .width = 64,
                          .feed_forward = 128,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 16,
                          .vocabulary = 96,
                          .expert_feed_forward = 64,
                          .latent_rank = 32,
                          .query_rank = 32,
                          .latent_value = 16};
    const Checkpoint source =
        tiny_model(std::string(family->architecture), testing::tiny_shape(*family, shape), 5);
    const CalibrationText with = text();
    QuantizeOptions options = guided(with);
    const std::vector<float> exact = hidden_states(source, with);
    QuantizeOptions without = options;
    without.method = "nearest";
    without.text = nullptr;
    const double of_nearest = distance(hidden_states(quantized(folder, source, without), with), exact);
    for (const double propagate : {0.0, 0.5}) {
      options.feedback.propagate = propagate;
      const auto report = quantize(runner.context(), source, folder / "gptq.gguf", options);
      ASSERT_TRUE(report.ok()) << report.error().message;
      for (const TensorReport& t : report->tensors) EXPECT_EQ(t.method == "gptq", has_feedback(t)) << t.name;
      EXPECT_LT(distance(hidden_states(*read_gguf(folder / "gptq.gguf"), with), exact), 0.9 * of_nearest);
    }
  }
}

TEST(BlockWalker, the_order_and_the_number_of_threads_do_not_matter) {
  Folder folder;
  const CalibrationText with = text();
  Checkpoint shuffled = model();
  std::ranges::reverse(shuffled.tensors);
  ASSERT_TRUE(shuffled.reindex().ok());
  std::string expected[2];
  for (const Checkpoint& source : {model(), shuffled})
    for (const int threads : {1, 3})
      for (const bool propagate : {false, true}) {
        Runner runner(threads);
        QuantizeOptions options = guided(with);
        options.feedback.propagate = propagate ? 0.5 : 0;
        options.slab_weights = threads == 1 ? 1 : 4u << 20;
        ASSERT_TRUE(quantize(runner.context(), source, folder / "out.gguf", options).ok());
        const std::string bytes = contents(folder / "out.gguf");
        if (expected[propagate].empty()) expected[propagate] = bytes;
        EXPECT_TRUE(bytes == expected[propagate]) << threads;
      }
  EXPECT_FALSE(expected[0] == expected[1]);
}

/// Where nothing has been rounded there is nothing to make up for.
TEST(BlockWalker, only_what_comes_after_rounded_tensors_is_moved) {
  Folder folder;
  const CalibrationText with = text();
  std::vector<Checkpoint> made;
  for (const double propagate : {0.0, 0.5}) {
    QuantizeOptions options = guided(with);
    options.recipe.rules = {*parse_tensor_rule("token_embd=F32")};
    options.feedback.propagate = propagate;
    made.push_back(quantized(folder, model(), options));
    std::filesystem::rename(folder / "gptq.gguf", folder / fmt::format("{}.gguf", propagate));
  }
  EXPECT_EQ(made[1].metadata.number_at("carat.calibration.propagate").value(), 0.5);
  for (const char* name : {"attn_q", "attn_v", "attn_output", "ffn_up", "ffn_down"})
    for (const int layer : {0, 2}) {
      const std::string full = fmt::format("blk.{}.{}.weight", layer, name);
      const bool first =
          layer == 0 && (std::string_view(name) == "attn_q" || std::string_view(name) == "attn_v");
      EXPECT_EQ(*made[0].find(full)->read_all() == *made[1].find(full)->read_all(), first) << full;
    }
}

TEST(BlockWalker, hessians_are_shrunk_by_what_they_are_of) {
  Folder folder;
  const CalibrationText with = text();
  QuantizeOptions options = guided(with);
  Runner runner;
  const std::string out = folder / "out.gguf";
  ASSERT_TRUE(quantize(runner.context(), model(), out, options).ok());
  const Checkpoint alike = *read_gguf(out);
  EXPECT_FALSE(alike.metadata.find("carat.calibration.shrink_of"));
  options.feedback.shrink_of[LinearInput::down] = 0.9;
  EXPECT_NE(options.feedback.words(), WalkFeedback().words()) << "what a resume goes by";
  const std::string other = folder / "other.gguf";
  const auto report = quantize(runner.context(), model(), other, options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  for (const TensorReport& t : report->tensors) {
    if (t.guide.tokens == 0) continue;
    const bool down = t.name.find("down") != std::string::npos;
    EXPECT_EQ(t.guide.shrink, down ? 0.9 : 0.4) << t.name;
    if (t.name.find("blk.0") != 0) continue;  // later ones see what down became
    const bool same = *alike.find(t.name)->read_all() == *read_gguf(other)->find(t.name)->read_all();
    EXPECT_EQ(same, !down) << t.name;
  }
  EXPECT_EQ(*read_gguf(other)->metadata.string_at("carat.calibration.shrink_of").value(), "0.4 down 0.9");
}

/// The rows that matrices of one place read.
class RowsTap final : public InputTap {
 public:
  RowsTap(int64_t layer, LinearInput input) : layer_(layer), input_(input) {}
  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    if (place.layer == layer_ && place.input == input_) rows.insert(rows.end(), x, x + tokens * columns);
  }
  std::vector<float> rows;

 private:
  const int64_t layer_;
  const LinearInput input_;
};

/// What a matrix becomes is what the definition gives for the inputs that two forward passes see.
TEST(BlockWalker, weights_are_moved_by_what_their_inputs_lost) {
  Folder folder;
  const CalibrationText with = text();
  const Checkpoint source = model();
  QuantizeOptions options = guided(with);
  options.activations = ActivationScheme::float32;
  options.feedback.propagate = 0.7;
  const Checkpoint walked = quantized(folder, source, options);
  Runner runner;
  const KernelTable& kernels = *default_kernel_table().value();
  for (const auto& [name, input] : {std::pair{"blk.1.attn_q.weight", LinearInput::attention},
                                    std::pair{"blk.2.ffn_up.weight", LinearInput::feed_forward},
                                    std::pair{"blk.1.ffn_down.weight", LinearInput::down}}) {
    const Tensor& t = *source.find(name);
    const int64_t n = t.columns();
    RowsTap wanted(name[4] - '0', input), had(name[4] - '0', input);
    hidden_states(source, with, &wanted);
    hidden_states(walked, with, &had);
    std::vector<float> hessian(static_cast<size_t>(n * n)), moments(hessian.size());
    std::vector<float> lost = wanted.rows;
    for (size_t i = 0; i < lost.size(); ++i) lost[i] -= had.rows[i];
    accumulate_cross_gram(runner.pool, kernels, ActivationScheme::float32, had.rows.data(), had.rows.data(),
                          with.tokens(), n, n, hessian.data());
    accumulate_cross_gram(runner.pool, kernels, ActivationScheme::float32, had.rows.data(), lost.data(),
                          with.tokens(), n, n, moments.data());
    const auto factor = prepare_feedback(runner.context(), kernels, hessian, n, options.feedback);
    ASSERT_TRUE(factor.ok());
    std::vector<float> weights(static_cast<size_t>(t.elements()));
    ASSERT_TRUE(t.read_rows(0, t.rows(), weights.data()).ok());
    const auto rows_of = [&](const std::vector<float>& w) {
      return SourceRows{&encoding_f32(), reinterpret_cast<const uint8_t*>(w.data()), t.rows(), n};
    };
    const auto moved =
        weights_for_drift(runner.context(), kernels, *factor, {moments, 0.7}, rows_of(weights));
    ASSERT_TRUE(moved.ok());
    const Tensor& out = *walked.find(name);
    const std::vector<float> is = *out.read_all();
    const auto share_alike = [&](const std::vector<float>& w) {
      std::vector<uint8_t> bytes(out.bytes());
      EXPECT_TRUE(
          find_rounder("gptq")
              ->round(runner.context(), kernels, *out.encoding, rows_of(w), {{}, &*factor}, bytes.data())
              .ok());
      size_t same = 0;
      std::vector<float> row(static_cast<size_t>(n));
      for (int64_t r = 0; r < t.rows(); ++r) {
        out.encoding->decode(bytes.data() + static_cast<uint64_t>(r) * out.row_bytes(), row.data(), n);
        for (int64_t i = 0; i < n; ++i)
          same += std::abs(row[static_cast<size_t>(i)] - is[static_cast<size_t>(r * n + i)]) < 1e-6f;
      }
      return static_cast<double>(same) / static_cast<double>(is.size());
    };
    EXPECT_GT(share_alike(*moved), 0.97) << name;
    EXPECT_LT(share_alike(weights), 0.9) << name;
  }
}

TEST(BlockWalker, a_resume_ends_in_the_same_bytes) {
  Folder folder;
  const CalibrationText with = text();
  const Checkpoint source = model();
  QuantizeOptions options = guided(with);
  options.feedback.propagate = 0.5;
  Runner whole;
  ASSERT_TRUE(quantize(whole.context(), source, folder / "whole.gguf", options).ok());
  const std::string out = folder / "out.gguf";
  for (int stop_after = 1; stop_after < 30; stop_after += 3) {
    Runner first;
    int updates = 0;
    first.on_update = [&](uint64_t) {
      if (++updates == stop_after) first.cancellation.request();
    };
    options.resume = false;
    ASSERT_FALSE(quantize(first.context(), source, out, options).ok()) << stop_after;
    options.resume = true;
    Runner second;
    const CalibrationText another = text(4);
    CalibrationText renamed = another;
    renamed.digest = std::string(64, 'b');
    QuantizeOptions other = options;
    other.text = &renamed;
    EXPECT_EQ(quantize(second.context(), source, out, other).error().code, Code::usage) << "another text";
    CalibrationText divided = with;  // the same tokens in shorter sequences
    divided.context = with.context / 2;
    divided.sequences.clear();
    for (const std::vector<TokenId>& s : with.sequences)
      for (int64_t at = 0; at < with.context; at += divided.context)
        divided.sequences.emplace_back(s.begin() + at, s.begin() + at + divided.context);
    other.text = &divided;
    EXPECT_EQ(quantize(second.context(), source, out, other).error().code, Code::usage) << "other sequences";
    other = options;
    other.feedback.propagate = 0;
    EXPECT_EQ(quantize(second.context(), source, out, other).error().code, Code::usage) << "other options";
    const auto resumed = quantize(second.context(), source, out, options);
    ASSERT_TRUE(resumed.ok()) << resumed.error().message;
    EXPECT_TRUE(contents(out) == contents(folder / "whole.gguf")) << stop_after;
    std::filesystem::remove(out);
  }
}

TEST(BlockWalker, what_is_interrupted_before_the_first_tensor_says_how_to_go_on) {
  Folder folder;
  const CalibrationText with = text();
  const Checkpoint source = model();
  QuantizeOptions options = guided(with);
  options.method = "awq+gptq";  // whose statistics and factors come before any tensor is written
  const std::string out = folder / "out.gguf";
  for (const bool resume : {false, true}) {
    options.resume = resume;
    Runner runner;
    runner.on_update = [&](uint64_t) { runner.cancellation.request(); };
    const auto stopped = quantize(runner.context(), source, out, options);
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.error().code, Code::interrupted);
    const std::string_view says =
        resume ? "what an earlier run left is as it was" : "nothing was written yet";
    EXPECT_NE(stopped.error().message.find(says), std::string::npos) << stopped.error().message;
    EXPECT_FALSE(std::filesystem::exists(out + ".partial"));
  }
}

TEST(BlockWalker, parts_of_an_unfinished_run_are_in_the_way_before_anything_is_calibrated) {
  Folder folder;
  const CalibrationText with = text();
  QuantizeOptions options = guided(with);
  options.method = "awq+gptq";
  options.split_bytes = 20'000;
  std::ofstream(folder / "out-00001-of-00002.gguf.partial") << "begun";
  std::ofstream(folder / "out-00001-of-00003.gguf.partial") << "begun";
  std::ofstream(folder / "out-00001-of-00004.gguf.partial") << "begun";
  std::ofstream(folder / "out-00001-of-00005.gguf.partial") << "begun";
  Runner runner;
  runner.on_update = [&](uint64_t) { ADD_FAILURE() << "text goes through the model"; };
  const auto refused = quantize(runner.context(), model(), folder / "out.gguf", options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("left from an unfinished run"), std::string::npos)
      << refused.error().message;
}

TEST(BlockWalker, methods_and_text_must_fit) {
  const CalibrationText with = text();
  QuantizeOptions options = guided(with);
  options.text = nullptr;
  const auto without = plan_quantize(model(), options);
  ASSERT_FALSE(without.ok());
  EXPECT_EQ(
      without.error().message,
      "the method 'gptq' needs calibration text; give one with --text FILE, or --hessians FILE from `carat "
      "calibrate --hessians`");
  options = guided(with);
  options.method = "nearest";
  EXPECT_EQ(plan_quantize(model(), options).error().code, Code::usage);
}

TEST(BlockWalker, EveryOrderOfColumnsWorksAlsoWhereMatricesOfOneInputDiffer) {
  Folder folder;
  Runner runner;
  const CalibrationText with = text();
  const std::vector<float> exact = hidden_states(model(), with);
  std::vector<std::string> files;
  for (const ColumnOrder order : {ColumnOrder::natural, ColumnOrder::descending, ColumnOrder::grouped}) {
    SCOPED_TRACE(column_order_name(order));
    QuantizeOptions options = guided(with);
    options.feedback.order = order;
    options.recipe.rules = {*make_rule("attn_k", "Q8_0"), *make_rule("attn_v", "IQ4_NL")};
    const std::string path = folder / std::string(column_order_name(order));
    const auto report = quantize(runner.context(), model(), path, options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    QuantizeOptions blind = options;
    blind.method = "nearest";
    blind.text = nullptr;
    ASSERT_TRUE(quantize(runner.context(), model(), folder / "blind.gguf", blind).ok());
    const double guided_by = distance(hidden_states(*read_gguf(path), with), exact);
    EXPECT_LT(guided_by, 0.9 * distance(hidden_states(*read_gguf(folder / "blind.gguf"), with), exact));
    files.push_back(contents(path));
  }
  EXPECT_NE(files[0], files[1]);
  EXPECT_NE(files[0], files[2]);
}

TEST(BlockWalker, TextThatTheModelCannotReadIsRefusedBeforeAnythingIsWritten) {
  Folder folder;
  Runner runner;
  CalibrationText foreign = text();
  foreign.sequences[3][5] = 96;
  const auto outside = quantize(runner.context(), model(), folder / "a.gguf", guided(foreign));
  ASSERT_FALSE(outside.ok());
  EXPECT_EQ(outside.error().code, Code::bad_data);
  EXPECT_NE(outside.error().message.find("token 96"), std::string::npos) << outside.error().message;
  CalibrationText empty;
  empty.digest = std::string(64, 'b');
  const auto nothing = quantize(runner.context(), model(), folder / "a.gguf", guided(empty));
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(nothing.error().code, Code::usage);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.gguf.partial"));
}

}  // namespace
}  // namespace carat
