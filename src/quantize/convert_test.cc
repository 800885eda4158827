#include "quantize/convert.h"

#include "arch/open_model.h"
#include "quantize/testing.h"
#include "quantize/verify.h"

namespace carat {
namespace {

using namespace testing;

const std::string kStories = CARAT_SOURCE_DIR "/golden/stories260K.gguf";

void expect_same_tensors(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const Tensor& t : a.tensors) {
    const Tensor* other = b.find(t.name);
    ASSERT_TRUE(other) << t.name;
    EXPECT_EQ(other->shape, t.shape) << t.name;
    EXPECT_EQ(*other->read_all(), *t.read_all()) << t.name;
  }
}

TEST(Convert, ACopyHoldsTheSameBytesAndSaysWhereTheyCameFrom) {
  Folder folder;
  Runner runner;
  const auto in = open_model(kStories);
  ASSERT_TRUE(in.ok()) << in.error().message;
  const auto report = convert(runner.context(), *in, folder / "copy.gguf", {});
  ASSERT_TRUE(report.ok()) << report.error().message;
  const auto out = open_model(folder / "copy.gguf");
  ASSERT_TRUE(out.ok()) << out.error().message;
  expect_same_tensors(*in, *out);
  EXPECT_EQ(*out->metadata.find("general.file_type"), *in->metadata.find("general.file_type"));
  EXPECT_EQ(**out->metadata.string_at("carat.source.digest"), report->source_digest);
  EXPECT_TRUE(verify(runner.context(), *out)->ok());
}

TEST(Convert, QuantizedTensorsAreDecoded) {
  Folder folder;
  Runner runner;
  ASSERT_TRUE(quantize(runner.context(), small_model(), folder / "q8.gguf", options_for("Q8_0")).ok());
  const auto q8 = open_model(folder / "q8.gguf");
  const auto report = convert(runner.context(), *q8, folder / "f32.gguf", {.encoding = &encoding_f32()});
  ASSERT_TRUE(report.ok()) << report.error().message;
  expect_same_tensors(*q8, *open_model(folder / "f32.gguf"));
  const auto refused =
      convert(runner.context(), *q8, folder / "q4.gguf", {.encoding = find_encoding("Q4_0")});
  EXPECT_EQ(refused.error().code, Code::usage);
}

TEST(Convert, ThroughAHuggingFaceDirectoryAndBack) {
  Folder folder;
  Runner runner;
  Checkpoint in = *open_model(kStories);
  in.metadata.set("carat.transform.rescale", Value::string("seed 7"));
  in.metadata.set("carat.sidecar.notes.json", Value::string("{\"a\": 1}"));
  const ConvertOptions to_hf{.container = Container::huggingface, .encoding = &encoding_f32()};
  const auto there = convert(runner.context(), in, folder / "hf", to_hf);
  ASSERT_TRUE(there.ok()) << there.error().message;
  EXPECT_EQ(contents(folder / "hf/notes.json"), "{\"a\": 1}");
  const auto hf = open_model(folder / "hf");
  ASSERT_TRUE(hf.ok()) << hf.error().message;
  EXPECT_EQ(there->output_bytes, hf->file_bytes);
  expect_same_tensors(in, *hf);
  EXPECT_EQ(**hf->metadata.string_at("carat.source.digest"), there->source_digest);
  EXPECT_EQ(**hf->metadata.string_at("carat.transform.rescale"), "seed 7");
  const auto verified = verify(runner.context(), *hf);
  ASSERT_TRUE(verified.ok());
  EXPECT_TRUE(verified->ok()) << verified->problems[0];

  const auto back = convert(runner.context(), *hf, folder / "back.gguf", {});
  ASSERT_TRUE(back.ok()) << back.error().message;
  const auto gguf = open_model(folder / "back.gguf");
  expect_same_tensors(in, *gguf);
  EXPECT_EQ(**gguf->metadata.string_at("carat.transform.rescale"), "seed 7");
  EXPECT_EQ(**gguf->metadata.string_at("carat.sidecar.notes.json"), "{\"a\": 1}");
  EXPECT_EQ(there->source_digest, back->source_digest) << "the same weights, whatever the container";
}

TEST(Convert, OfAnInterruptedDirectoryNothingIsKeptAndThatIsSaid) {
  Folder folder;
  const Checkpoint in = *open_model(kStories);
  const ConvertOptions to_hf{.container = Container::huggingface, .encoding = &encoding_f32()};
  int updates = 0;
  for (const int stop_after : {1, 80}) {  // while it measures, and while it writes
    Runner runner;
    updates = 0;
    runner.on_update = [&](uint64_t) {
      if (++updates == stop_after) runner.cancellation.request();
    };
    const auto stopped = convert(runner.context(), in, folder / "hf", to_hf);
    ASSERT_FALSE(stopped.ok()) << updates;
    EXPECT_EQ(stopped.error().code, Code::interrupted);
    EXPECT_NE(stopped.error().message.find("the same command begins again"), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(folder / "hf"));
    EXPECT_FALSE(std::filesystem::exists(folder / "hf.partial"));
  }
}

TEST(Convert, WeightsBesideTheModelsAreNamed) {
  Folder folder;
  Runner runner;
  const ConvertOptions to_hf{.container = Container::huggingface, .encoding = &encoding_f32()};
  ASSERT_TRUE(convert(runner.context(), *open_model(kStories), folder / "hf", to_hf).ok());
  for (const char* name : {"hf/adapter_model.safetensors", "hf/model.onnx"})
    std::ofstream(folder / name, std::ios::binary) << "weights";
  const auto in = open_model(folder / "hf");
  ASSERT_TRUE(in.ok()) << in.error().message;
  const auto report = convert(runner.context(), *in, folder / "out.gguf", {});
  ASSERT_TRUE(report.ok()) << report.error().message;
  ASSERT_FALSE(report->notes.empty());
  EXPECT_EQ(report->notes[0],
            "not carried: adapter_model.safetensors (weights that are not this model's), model.onnx (weights "
            "that are not this model's)");
}

TEST(Convert, LargeFilesThatNothingReadsAreLeftOutAndNamed) {
  Folder folder;
  Runner runner;
  const ConvertOptions to_hf{.container = Container::huggingface, .encoding = &encoding_f32()};
  ASSERT_TRUE(convert(runner.context(), *open_model(kStories), folder / "hf", to_hf).ok());
  for (const char* name : {"hf/a.png", "hf/b.png"})
    std::ofstream(folder / name, std::ios::binary) << std::string(9 << 20, 'x');
  const auto in = open_model(folder / "hf");
  ASSERT_TRUE(in.ok()) << in.error().message;
  for (const Container container : {Container::huggingface, Container::gguf}) {
    const std::string out = folder / (container == Container::gguf ? "out.gguf" : "out");
    const auto report =
        convert(runner.context(), *in, out, {.container = container, .encoding = &encoding_f32()});
    ASSERT_TRUE(report.ok()) << report.error().message;
    ASSERT_FALSE(report->notes.empty());
    EXPECT_EQ(report->notes[0], "not carried: b.png (a file too large to carry)");
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "out/a.png"));
  EXPECT_TRUE(std::filesystem::exists(folder / "out/tokenizer.json"));
}

TEST(Convert, NarrowingIsMeasuredAndOverflowRefused) {
  Folder folder;
  Runner runner;
  Checkpoint in = *open_model(kStories);
  const ConvertOptions to_bf16{.container = Container::huggingface, .encoding = &encoding_bf16()};
  const auto report = convert(runner.context(), in, folder / "bf16", to_bf16);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_GT(report->tensors[0].relative_error, 0);
  EXPECT_LT(report->tensors[0].relative_error, 1e-5);
  std::vector<float> values = *in.tensors[0].read_all();
  values[5] = 1e6f;
  in.tensors[0] = tensor_of(in.tensors[0].name, in.tensors[0].shape, values);
  for (const Container container : {Container::gguf, Container::huggingface}) {
    const auto refused =
        convert(runner.context(), in, folder / "f16", {.container = container, .encoding = &encoding_f16()});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::bad_data);
    EXPECT_NE(refused.error().message.find(in.tensors[0].name), std::string::npos) << refused.error().message;
    EXPECT_FALSE(std::filesystem::exists(folder / "f16"));
  }
}

TEST(Convert, WhatIsInTheWayIsSaidBeforeAnythingIsRead) {
  Folder folder;
  const Checkpoint in = *open_model(kStories);
  for (const char* taken : {"hf", "hf.partial"}) {
    std::filesystem::remove_all(folder / "hf");
    std::filesystem::create_directory(folder / taken);
    std::ofstream(std::filesystem::path(folder / taken) / "precious.txt") << "x";
    Runner runner;
    int updates = 0;
    runner.on_update = [&](uint64_t) { ++updates; };
    const ConvertOptions to_hf{.container = Container::huggingface, .encoding = &encoding_f32()};
    EXPECT_EQ(convert(runner.context(), in, folder / "hf", to_hf).error().code, Code::usage) << taken;
    EXPECT_EQ(updates, 0) << taken;
  }
}

TEST(Convert, ASidecarsNameIsNoPath) {
  Folder folder;
  Runner runner;
  for (const char* name : {"../outside.json", "/tmp/outside.json", ".hidden.json", "model.safetensors"}) {
    Checkpoint in = *open_model(kStories);
    in.metadata.set(std::string("carat.sidecar.") + name, Value::string("{}"));
    const ConvertOptions to_hf{.container = Container::huggingface, .encoding = &encoding_f32()};
    const auto refused = convert(runner.context(), in, folder / "hf", to_hf);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().code, Code::bad_data);
  }
}

}  // namespace
}  // namespace carat
