#include "quantize/quantize.h"

#include <unistd.h>

#include <limits>

#include "quantize/provenance.h"
#include "quantize/testing.h"
#include "quantize/verify.h"

namespace carat {
namespace {

using namespace testing;

TEST(Quantize, PlannedSizesAreExactForEveryRecipe) {
  Folder folder;
  Runner runner;
  const Checkpoint model = small_model();
  auto statistics = std::make_shared<CalibrationStatistics>();
  for (const Tensor& t : model.tensors)
    if (t.shape.size() == 2)
      statistics->tensors[t.name] = {
          .columns = t.columns(),
          .counts = {1},
          .sum_squares = std::vector<double>(static_cast<size_t>(t.columns()), 1.0),
          .sum = {},
          .minimum = {},
          .maximum = {}};
  for (const auto name : recipe_names()) {
    QuantizeOptions options = options_for(name);
    auto plan = plan_quantize(model, options);
    if (!plan.ok()) {  // recipes of few bits insist on data
      ASSERT_NE(plan.error().message.find("--calibration STATS"), std::string::npos) << plan.error().message;
      options.calibration = statistics;
      plan = plan_quantize(model, options);
    }
    ASSERT_TRUE(plan.ok()) << name << ": " << plan.error().message;
    const auto report = quantize(runner.context(), model, folder / "out.gguf", options);
    ASSERT_TRUE(report.ok()) << name << ": " << report.error().message;
    EXPECT_EQ(std::filesystem::file_size(folder / "out.gguf"), plan->output_bytes) << name;
    EXPECT_EQ(report->output_bytes, plan->output_bytes);
    const auto back = read_gguf(folder / "out.gguf");
    ASSERT_TRUE(back.ok()) << back.error().message;
    for (const TensorPlan& t : plan->tensors)
      EXPECT_EQ(back->find(t.name)->encoding, t.to) << name << " " << t.name;
    EXPECT_EQ(*back->metadata.unsigned_at("general.file_type"), named_recipe(name)->file_type);
  }
}

TEST(Quantize, SameBytesForAnyNumberOfThreadsAndSlabSize) {
  Folder folder;
  // Five units of weights in the embedding: several slabs, the last one not full.
  const Checkpoint model = small_model(512, 9001, encoding_f16());
  std::string first;
  for (const int threads : {1, 2, 3})
    for (const uint64_t slab : {uint64_t{1}, uint64_t{2} << 20, uint64_t{64} << 20}) {
      Runner runner(threads);
      QuantizeOptions options = options_for("Q4_0");
      options.slab_weights = slab;
      const auto report = quantize(runner.context(), model, folder / "out.gguf", options);
      ASSERT_TRUE(report.ok()) << report.error().message;
      const std::string bytes = contents(folder / "out.gguf");
      if (first.empty()) first = bytes;
      EXPECT_TRUE(bytes == first) << threads << " threads, slabs of " << slab;
    }
}

TEST(Quantize, MetadataAreCarriedAndEvidenceIsAdded) {
  Folder folder;
  Runner runner;
  Checkpoint model = small_model();
  model.metadata.set("split.count", Value::u32(3));
  model.metadata.set("carat.tensor.xxh3", Value::string("of an earlier file"));
  model.metadata.set("carat.transform.rescale", Value::string("seed 7"));
  model.files = {"/somewhere/model-00001-of-00001.safetensors"};
  model.sidecars = {
      {"generation_config.json", "{\"top_k\": 7}"}, {"README.md", "# small"}, {"config.json", "{}"}};
  QuantizeOptions options = options_for("Q8_0");
  options.recipe.rules = {parse_tensor_rule("attn_v=Q6_K").value()};
  const auto report = quantize(runner.context(), model, folder / "out.gguf", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  const auto back = read_gguf(folder / "out.gguf");
  ASSERT_TRUE(back.ok()) << back.error().message;
  const Metadata& m = back->metadata;
  EXPECT_EQ(*m.find("my.own.key"), *model.metadata.find("my.own.key"));
  EXPECT_FALSE(m.has("split.count"));
  EXPECT_EQ(*m.unsigned_at("general.quantization_version"), 2u);
  EXPECT_EQ(**m.string_at("carat.recipe"), "Q8_0");
  EXPECT_EQ((**m.strings_at("carat.recipe.rules"))[0], "attn_v=Q6_K");
  EXPECT_EQ(**m.string_at("carat.version"), CARAT_VERSION);
  EXPECT_EQ(**m.string_at("carat.transform.rescale"), "seed 7");
  EXPECT_EQ((**m.strings_at("carat.source.files"))[0], "model-00001-of-00001.safetensors");
  EXPECT_EQ(**m.string_at("carat.source.digest"), report->source_digest);
  EXPECT_EQ(**m.string_at("carat.sidecar.generation_config.json"), "{\"top_k\": 7}");
  EXPECT_FALSE(m.has("carat.sidecar.config.json"));
  ASSERT_EQ(report->notes.size(), 1u);
  EXPECT_NE(report->notes[0].find("README.md"), std::string::npos);
  const auto errors = m.floats_at("carat.tensor.relative_error");
  ASSERT_TRUE(errors.ok());
  for (size_t i = 0; i < report->tensors.size(); ++i) {
    EXPECT_EQ((*errors)[i], static_cast<float>(report->tensors[i].relative_error));
    EXPECT_EQ(report->tensors[i].relative_error > 0, report->tensors[i].from != report->tensors[i].to);
  }
  EXPECT_LT((*errors)[0], 1e-4f);  // Q8_0
}

TEST(Quantize, TheSourceDigestDependsOnContentsOnly) {
  Folder folder;
  Runner runner;
  Checkpoint a = small_model();
  const auto digest = [&](const Checkpoint& c) {
    const auto report = quantize(runner.context(), c, folder / "out.gguf", options_for("Q8_0"));
    return report.ok() ? report->source_digest : report.error().message;
  };
  const std::string original = digest(a);
  EXPECT_EQ(original.size(), 64u);
  Checkpoint moved = a;
  moved.source = "elsewhere";
  std::swap(moved.tensors[1], moved.tensors[4]);
  ASSERT_TRUE(moved.reindex().ok());
  EXPECT_EQ(digest(moved), original);
  EXPECT_EQ(digest(a), original) << "slabs of another size must not matter either";
  Checkpoint other = a;
  other.tensors[3] = random_tensor(a.tensors[3].name, a.tensors[3].shape, 99, encoding_bf16());
  EXPECT_NE(digest(other), original);
}

TEST(Quantize, VerifyFindsWhatWasChanged) {
  Folder folder;
  Runner runner;
  const std::string path = folder / "out.gguf";
  ASSERT_TRUE(quantize(runner.context(), small_model(), path, options_for("Q4_K_M")).ok());
  {
    const auto good = verify(runner.context(), *read_gguf(path));
    ASSERT_TRUE(good.ok());
    EXPECT_TRUE(good->ok()) << good->problems[0];
    EXPECT_TRUE(good->has_provenance);
    EXPECT_EQ(good->digests_checked, good->tensors);
    EXPECT_EQ(good->values_checked, good->tensors);
  }
  std::string bytes = contents(path);
  bytes[bytes.size() - 100] ^= 1;
  std::ofstream(path, std::ios::binary) << bytes;
  const auto bad = verify(runner.context(), *read_gguf(path));
  ASSERT_TRUE(bad.ok());
  ASSERT_EQ(bad->problems.size(), 1u);
  EXPECT_NE(bad->problems[0].find("output.weight"), std::string::npos);
}

TEST(Quantize, VerifySaysWhatCannotBeRun) {
  Runner runner;
  const auto why = [&](const std::function<void(Checkpoint&)>& change) {
    Checkpoint c = *read_gguf(CARAT_SOURCE_DIR "/golden/stories260K.gguf");
    change(c);
    EXPECT_TRUE(c.reindex().ok());
    const auto report = verify(runner.context(), c);
    EXPECT_TRUE(report.ok() && report->ok());
    return report->cannot_run;
  };
  EXPECT_EQ(why([](Checkpoint&) {}), "");
  EXPECT_NE(why([](Checkpoint& c) {
              c.metadata.set("general.architecture", Value::string("rwkv9"));
            }).find("architecture rwkv9 is not supported"),
            std::string::npos);
  EXPECT_NE(why([](Checkpoint& c) {
              std::erase_if(c.tensors, [](const Tensor& t) { return t.name == "blk.1.attn_k.weight"; });
            }).find("blk.1.attn_k.weight is missing"),
            std::string::npos);
  EXPECT_NE(why([](Checkpoint& c) { c.metadata.erase("tokenizer.ggml.model"); }).find("no tokenizer"),
            std::string::npos);
  EXPECT_NE(
      why([](Checkpoint& c) { c.metadata.set("tokenizer.ggml.model", Value::string("none")); }).find("none"),
      std::string::npos);
}

TEST(Quantize, VerifyFindsNaN) {
  Folder folder;
  Runner runner;
  Checkpoint model = small_model();
  std::vector<float> values(256, 1.0f);
  values[17] = std::numeric_limits<float>::quiet_NaN();
  model.tensors[1] = tensor_of("blk.0.attn_norm.weight", {256}, values);
  write_gguf(model, folder / "nan.gguf");
  const auto report = verify(runner.context(), *read_gguf(folder / "nan.gguf"));
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->has_provenance);
  EXPECT_EQ(report->digests_checked, 0u);
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_NE(report->problems[0].find("blk.0.attn_norm.weight: 1 value"), std::string::npos);
}

/// Quantizing `model` must stop with `code` and a sentence that holds all of `parts`, leaving no file.
void expect_refused(const Checkpoint& model, const QuantizeOptions& options, Code code,
                    std::initializer_list<std::string_view> parts) {
  Folder folder;
  Runner runner;
  const auto report = quantize(runner.context(), model, folder / "out.gguf", options);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, code) << report.error().message;
  for (const auto part : parts)
    EXPECT_NE(report.error().message.find(part), std::string::npos) << part << ": " << report.error().message;
  for (const char* left : {"out.gguf", "out.gguf.partial", "out.gguf.journal"})
    EXPECT_FALSE(std::filesystem::exists(folder / left)) << left;
}

TEST(Quantize, ValuesThatAreNotFiniteStopIt) {
  for (const size_t at : {1, 2}) {  // a vector that is copied, a matrix that is rounded
    Checkpoint model = small_model();
    const Tensor& t = model.tensors[at];
    std::vector<float> values(static_cast<size_t>(t.elements()), 0.5f);
    values[3] = std::numeric_limits<float>::infinity();
    values[5] = std::numeric_limits<float>::quiet_NaN();
    model.tensors[at] = tensor_of(t.name, t.shape, values);
    expect_refused(model, options_for("Q4_K_M"), Code::bad_data, {t.name, "2 values", "not finite"});
  }
}

TEST(Quantize, ValuesBeyondTheReachOfScalesStopIt) {
  Checkpoint model = small_model();
  const std::string name = model.tensors[2].name;
  const auto with = [&](float x, float y) {
    std::vector<float> values(static_cast<size_t>(model.tensors[2].elements()), 0.5f);
    values[3] = x, values[4] = y;
    model.tensors[2] = tensor_of(name, model.tensors[2].shape, values);
  };
  with(-1e12f, 0);
  for (const char* recipe : {"Q4_K_M", "FP8_CHANNEL"})
    expect_refused(model, options_for(recipe), Code::bad_data, {name, "-1e+12", "too large", "BF16"});
  with(1e11f, 0);  // between 2^36 and 2^37
  for (const char* recipe : {"MXFP4", "NF4", "FP8_CHANNEL"})
    expect_refused(model, options_for(recipe), Code::bad_data, {name, "1e+11", "too large", "BF16"});
  with(1e9f, 0);
  for (const char* recipe : {"Q8_0", "Q4_K_M", "INT4_G128", "NVFP4"})
    expect_refused(model, options_for(recipe), Code::bad_data, {name, "1e+09", "too large", "BF16", "NF4"});
  // Fifteen steps of the largest scale hold either, but not both.
  with(9e5f, -9e5f);
  expect_refused(model, options_for("INT4_ASYM_G128"), Code::bad_data, {name, "9e+05", "INT4_ASYM_G128"});
  Folder folder;
  Runner runner;
  const auto fits = [&](const char* recipe) {
    const auto report = quantize(runner.context(), model, folder / recipe, options_for(recipe));
    EXPECT_TRUE(report.ok()) << report.error().message;
  };
  fits("Q8_0");
  with(9e5f, 0);
  fits("INT4_ASYM_G128");
  with(0x1p36f, 0);
  for (const char* recipe : {"BF16", "NF4", "MXFP4", "FP8_CHANNEL"}) fits(recipe);
}

TEST(Quantize, OverflowOfF16StopsItAndUnderflowIsCounted) {
  Checkpoint model = small_model();
  std::vector<float> values(32 * 256, 0.5f);
  values[7] = 1e-20f;
  model.tensors[2] = tensor_of("blk.0.attn_q.weight", {32, 256}, values, encoding_bf16());
  Folder folder;
  Runner runner;
  const auto report = quantize(runner.context(), model, folder / "out.gguf", options_for("F16"));
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->underflows, 1u);
  EXPECT_EQ(report->tensors[2].underflows, 1u);
  values[9] = 70000.0f;
  model.tensors[2] = tensor_of("blk.0.attn_q.weight", {32, 256}, values, encoding_bf16());
  expect_refused(model, options_for("F16"), Code::bad_data, {"blk.0.attn_q.weight", "1 value", "F16"});
}

TEST(Quantize, RequantizingNeedsLeaveAndEqualEncodingsAreCopied) {
  Folder folder;
  Runner runner;
  ASSERT_TRUE(quantize(runner.context(), small_model(), folder / "q4.gguf", options_for("Q4_K_M")).ok());
  const auto q4 = read_gguf(folder / "q4.gguf");
  ASSERT_TRUE(q4.ok());
  expect_refused(*q4, options_for("Q5_0"), Code::usage, {"token_embd.weight", "Q4_K", "--allow-requantize"});

  const auto again = quantize(runner.context(), *q4, folder / "again.gguf", options_for("Q4_K_M"));
  ASSERT_TRUE(again.ok()) << again.error().message;
  const auto back = read_gguf(folder / "again.gguf");
  for (size_t i = 0; i < q4->tensors.size(); ++i) {
    EXPECT_EQ(again->tensors[i].method, "copy");
    EXPECT_EQ(*back->tensors[i].read_all(), *q4->tensors[i].read_all());
  }
  QuantizeOptions allowed = options_for("Q5_0");
  allowed.allow_requantize = true;
  EXPECT_TRUE(quantize(runner.context(), *q4, folder / "q5.gguf", allowed).ok());
  EXPECT_TRUE(quantize(runner.context(), *q4, folder / "f16.gguf", options_for("F16")).ok())
      << "floats need no leave";
}

TEST(Quantize, WhatCannotBeDecodedIsRefusedWhereItWouldHaveToBe) {
  Checkpoint model = small_model();
  const Encoding* carried = find_ggml_type(42);  // Q2_0
  ASSERT_TRUE(carried && !carried->can_decode());
  const uint64_t row = carried->row_bytes(256);
  model.tensors[2] = {"blk.0.attn_q.weight",
                      {32, 256},
                      carried,
                      std::make_shared<MemoryRows>(std::vector<uint8_t>(32 * row), row)};
  expect_refused(model, options_for("Q4_0"), Code::bad_data, {"blk.0.attn_q.weight", "Q2_0"});
}

TEST(Quantize, FallbacksNeedLeaveAndAreRecorded) {
  const Checkpoint model = small_model(576);
  expect_refused(model, options_for("Q4_K_M"), Code::usage, {"token_embd.weight", "576", "--allow-fallback"});
  Folder folder;
  Runner runner;
  QuantizeOptions options = options_for("Q4_K_M");
  options.allow_fallback = true;
  const auto report = quantize(runner.context(), model, folder / "out.gguf", options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->fallbacks.size(), 16u);  // all matrices
  EXPECT_NE(report->fallbacks[0].find("Q5_0 instead of Q4_K"), std::string::npos);
  const auto back = read_gguf(folder / "out.gguf");
  EXPECT_EQ(**back->metadata.strings_at("carat.fallbacks"), report->fallbacks);
}

TEST(Quantize, AnInputIsNeverReplaced) {
  Folder folder;
  const std::string in = folder / "in.gguf";
  write_gguf(small_model(), in);
  const std::string before = contents(in);
  std::filesystem::create_symlink(in, folder / "link.gguf");
  std::filesystem::create_hard_link(in, folder / "hard.gguf");
  std::filesystem::create_hard_link(in, folder / "x.gguf.partial");
  const auto model = read_gguf(in);
  ASSERT_TRUE(model.ok()) << model.error().message;
  Runner runner;
  for (const char* name : {"in.gguf", "link.gguf", "hard.gguf", "x.gguf"}) {
    QuantizeOptions options = options_for("Q8_0");
    options.discard_partial = true;
    const auto report = quantize(runner.context(), *model, folder / name, options);
    ASSERT_FALSE(report.ok()) << name;
    EXPECT_EQ(report.error().code, Code::usage);
    EXPECT_TRUE(contents(in) == before) << name;
  }
  std::filesystem::create_directory(folder / "dir");
  EXPECT_EQ(quantize(runner.context(), *model, folder / "dir", options_for("Q8_0")).error().code,
            Code::usage);
}

TEST(Quantize, UnknownMethodsAreNamed) {
  QuantizeOptions options = options_for("Q8_0");
  options.method = "magic";
  expect_refused(small_model(), options, Code::usage, {"magic", "nearest"});
}

TEST(Record, RoundTrips) {
  const TensorRecord r{std::string(64, 'a'), 0x1234, 1.25e-3, 42, {4096, 17, 3, 0.6, 0.05, 1.5e-4, 2.5e-4}};
  const auto back = parse_record(format_record(r));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->source_sha256, r.source_sha256);
  EXPECT_EQ(back->xxh3, r.xxh3);
  EXPECT_EQ(back->relative_error, r.relative_error);
  EXPECT_EQ(back->underflows, r.underflows);
  EXPECT_EQ(back->guide.tokens, r.guide.tokens);
  EXPECT_EQ(back->guide.least_tokens, r.guide.least_tokens);
  EXPECT_EQ(back->guide.unseen, r.guide.unseen);
  EXPECT_EQ(back->guide.shrink, r.guide.shrink);
  EXPECT_EQ(back->guide.damping, r.guide.damping);
  EXPECT_EQ(back->guide.relative_loss, r.guide.relative_loss);
  EXPECT_EQ(back->guide.searched_loss, r.guide.searched_loss);
  EXPECT_FALSE(parse_record("x").ok());
  EXPECT_FALSE(parse_record(format_record(r) + "x").ok());
}

}  // namespace
}  // namespace carat
