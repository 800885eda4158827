// Hugging Face directories in and out, on models small enough to check every number.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include "arch/hf_config.h"
#include "arch/hf_import.h"
#include "arch/model_config.h"
#include "arch/open_model.h"
#include "arch/tiny_model.h"
#include "base/context.h"
#include "base/half.h"
#include "containers/gguf.h"
#include "containers/safetensors.h"

namespace carat {
namespace {

namespace fs = std::filesystem;
using testing::tiny_model;
using testing::TinyShape;

class HfDirectory : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("carat_hf_" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  void put(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
  }
  Status write(const Checkpoint& c, const std::string& name, const Encoding* encoding = &encoding_f32(),
               uint64_t shard = 5'000'000'000, uint64_t* underflows = nullptr, bool discard = false) {
    ThreadPool pool(2);
    Cancellation cancellation;
    Progress progress;
    return write_hf_directory({pool, cancellation, progress}, c, path(name), {encoding, shard, discard},
                              underflows);
  }

  fs::path root_;
};

/// tiny models with the vocabulary of the 512-token model in golden/.
Checkpoint with_tokenizer(const std::string& architecture, TinyShape shape) {
  shape.vocabulary = 512;
  Checkpoint c = tiny_model(architecture, shape);
  const auto golden = read_gguf(CARAT_SOURCE_DIR "/golden/stories260K.gguf");
  EXPECT_TRUE(golden.ok());
  for (const auto& [key, value] : golden->metadata.entries())
    if (key.starts_with("tokenizer.")) c.metadata.set(key, value);
  c.metadata.set("tokenizer.ggml.add_space_prefix", Value::boolean(true));  // what its absence means
  c.metadata.set("general.size_label", Value::string("tiny"));
  c.metadata.set("general.file_type", Value::u32(0));
  c.metadata.set("general.quantization_version", Value::u32(2));
  return c;
}

void expect_same_tensors(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    SCOPED_TRACE(a.tensors[i].name);
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    EXPECT_EQ(a.tensors[i].shape, b.tensors[i].shape);
    EXPECT_EQ(a.tensors[i].encoding, b.tensors[i].encoding);
    const auto x = a.tensors[i].read_all(), y = b.tensors[i].read_all();
    ASSERT_TRUE(x.ok() && y.ok());
    EXPECT_EQ(*x, *y);
  }
}

void expect_same_metadata(const Metadata& wanted, const Metadata& found) {
  for (const auto& [key, value] : wanted.entries()) {
    // tokenizer.json has merges in order, not scores; text/ tests that the ids are the same.
    if (key == "tokenizer.ggml.scores") continue;
    const Value* v = found.find(key);
    if (!v)
      ADD_FAILURE() << key << " is lost";
    else
      EXPECT_TRUE(*v == value) << key << " changed";
  }
  for (const auto& [key, value] : found.entries()) EXPECT_TRUE(wanted.has(key)) << key << " appeared";
}

TEST_F(HfDirectory, RoundTripOfEveryFamily) {
  for (const Family* family : all_families()) {
    const std::string name(family->architecture);
    if (family->classes.empty() || !family->hf.written) continue;
    for (const bool tied : {false, true}) {
      SCOPED_TRACE(name + (tied ? " tied" : ""));
      TinyShape shape = testing::tiny_shape(*family, {.tied = tied, .biases = name == "qwen3"});
      shape.absorbed = true;  // as directories are read
      Checkpoint c = with_tokenizer(name, shape);
      if (family->rule(Role::attention_sinks))
        c.metadata.set(name + ".attention.sliding_window", Value::u32(7));
      const std::string directory = name + (tied ? "-tied" : "");
      const Status written = write(c, directory);
      ASSERT_TRUE(written.ok()) << written.error().message;
      EXPECT_FALSE(fs::exists(path(directory + ".partial")));
      const auto back = open_model(path(directory));
      ASSERT_TRUE(back.ok()) << back.error().message;
      EXPECT_EQ(back->container, "huggingface");
      expect_same_tensors(c, *back);
      expect_same_metadata(c.metadata, back->metadata);
      EXPECT_TRUE(read_model_config(*back).ok());
    }
  }
}

TEST_F(HfDirectory, ExpertsAreSeparateOutside) {
  Checkpoint c = with_tokenizer("llama", {.experts = 5, .expert_feed_forward = 20});
  ASSERT_TRUE(write(c, "mixtral").ok());
  const auto back = open_model(path("mixtral"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  expect_same_tensors(c, *back);
  expect_same_metadata(c.metadata, back->metadata);
  const auto raw = read_safetensors_directory(path("mixtral"));
  ASSERT_TRUE(raw.ok()) << raw.error().message;
  const auto all = c.find("blk.1.ffn_down_exps.weight")->read_all();
  const auto one = raw->find("model.layers.1.block_sparse_moe.experts.3.w2.weight");
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->shape, (std::vector<int64_t>{12, 20}));
  EXPECT_EQ(*one->read_all(), std::vector<float>(all->begin() + 3 * 240, all->begin() + 4 * 240));
}

TEST_F(HfDirectory, RowsOfQAndKStandInHalvesOutside) {
  // Heads of 4: GGUF's rows 0 1 2 3 (pairs 01, 23) are Hugging Face's rows 0 2 1 3 (pairs 02, 13).
  Checkpoint c = with_tokenizer("llama", {.biases = true});
  ASSERT_TRUE(write(c, "m").ok());
  const auto raw = read_safetensors_directory(path("m"));
  ASSERT_TRUE(raw.ok()) << raw.error().message;
  const auto inside = c.find("blk.1.attn_k.weight")->read_all();
  const auto outside = raw->find("model.layers.1.self_attn.k_proj.weight")->read_all();
  const int64_t place[] = {0, 2, 1, 3};
  for (int64_t head = 0; head < 3; ++head)
    for (int64_t r = 0; r < 4; ++r)
      for (int64_t j = 0; j < 12; ++j)
        EXPECT_EQ((*inside)[(head * 4 + r) * 12 + j], (*outside)[(head * 4 + place[r]) * 12 + j]);
  const auto bias = c.find("blk.1.attn_q.bias")->read_all();
  const auto bias_outside = raw->find("model.layers.1.self_attn.q_proj.bias")->read_all();
  for (int64_t r = 0; r < 24; ++r) EXPECT_EQ((*bias)[r], (*bias_outside)[r / 4 * 4 + place[r % 4]]);
  // v has no rotation.
  EXPECT_EQ(*c.find("blk.0.attn_v.weight")->read_all(),
            *raw->find("model.layers.0.self_attn.v_proj.weight")->read_all());
}

TEST_F(HfDirectory, ScalingAndWindowsSurvive) {
  struct Case {
    const char* name;
    const char* architecture;
    std::vector<std::pair<const char*, Value>> keys;
  };
  const Case cases[] = {
      {"linear",
       "llama",
       {{"rope.scaling.type", Value::string("linear")}, {"rope.scaling.factor", Value::f32(2.5f)}}},
      {"yarn",
       "qwen2",
       {{"rope.scaling.type", Value::string("yarn")},
        {"rope.scaling.factor", Value::f32(4.0f)},
        {"rope.scaling.original_context_length", Value::u32(16)},
        {"rope.scaling.attn_factor", Value::f32(0.7f)},
        {"rope.scaling.yarn_beta_fast", Value::f32(24.0f)}}},
      {"mistral", "llama", {{"attention.sliding_window", Value::u32(32)}}},
      {"window", "qwen3", {{"attention.sliding_window", Value::u32(32)}}},
      {"base", "llama", {{"rope.freq_base", Value::f32(500000.0f)}}},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Checkpoint c = with_tokenizer(one.architecture, {});
    for (const auto& [key, value] : one.keys)
      c.metadata.set(std::string(one.architecture) + "." + key, value);
    const Status written = write(c, one.name);
    ASSERT_TRUE(written.ok()) << written.error().message;
    const auto back = open_model(path(one.name));
    ASSERT_TRUE(back.ok()) << back.error().message;
    expect_same_metadata(c.metadata, back->metadata);
    std::ifstream in(path(std::string(one.name) + "/config.json"));
    const std::string config{std::istreambuf_iterator<char>(in), {}};
    // Said in config.json's own words, not only carried.
    const auto parsed = read_hf_config(config);
    ASSERT_TRUE(parsed.ok());
    for (const auto& [key, value] : one.keys) {
      const Value* v = parsed->metadata.find(std::string(one.architecture) + "." + key);
      ASSERT_NE(v, nullptr) << key;
      EXPECT_TRUE(*v == value) << key;
    }
    if (std::string_view(one.name) == "mistral") {
      EXPECT_NE(config.find("MistralForCausalLM"), std::string::npos);
    }
  }
}

TEST_F(HfDirectory, Llama3DivisorsBecomeParametersAndComeBack) {
  Checkpoint c = with_tokenizer("llama", {.head_dim = 64});
  c.metadata.set("llama.rope.freq_base", Value::f32(500000.0f));
  c.metadata.set("llama.context_length", Value::u32(131072));
  const std::vector<float> divisors = llama3_divisors({.factor = 32.0}, 500000.0, 64);
  EXPECT_EQ(divisors.front(), 1.0f);
  EXPECT_EQ(divisors.back(), 32.0f);
  c.tensors.insert(c.tensors.begin(), {"rope_freqs.weight", {32}, &encoding_f32(), float_data(divisors, 32)});
  ASSERT_TRUE(c.reindex().ok());
  ASSERT_TRUE(write(c, "m").ok());
  const auto back = open_model(path("m"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  expect_same_tensors(c, *back);
  EXPECT_EQ(read_model_config(*back)->rope_scaling, RopeScaling::llama3);

  Checkpoint odd = with_tokenizer("llama", {.divisors = true});
  const Status refused = write(odd, "odd");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("rope_freqs.weight"), std::string::npos);
  EXPECT_FALSE(fs::exists(path("odd")));
}

TEST_F(HfDirectory, UnknownThingsAreCarried) {
  Checkpoint c = with_tokenizer("llama", {});
  c.metadata.set("general.organization", Value::string("someone"));
  c.metadata.set("general.languages", Value::strings({"en", "ro"}));
  c.metadata.set("odd.u64", Value::u64(~uint64_t{0}));
  c.metadata.set("odd.f32s", Value::f32s({0.1f, -2.0f, std::numeric_limits<float>::infinity()}));
  c.metadata.set("odd.i32", Value::i32(-7));
  c.metadata.set("odd.bool", Value::boolean(true));
  c.tensors.push_back(
      {"mm.extra.weight", {3, 5}, &encoding_f32(), float_data(std::vector<float>(15, 0.25f), 5)});
  ASSERT_TRUE(c.reindex().ok());
  ASSERT_TRUE(write(c, "m").ok());
  put("m/README.md", "---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n");
  put("m/NOTICE", "kept");
  auto back = open_model(path("m"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  expect_same_tensors(c, *back);
  EXPECT_EQ(*back->metadata.string_at("general.license").value(), "apache-2.0");
  back->metadata.erase("general.license");
  expect_same_metadata(c.metadata, back->metadata);

  // From one directory to another: unknown keys of config.json and every small file go along.
  for (auto& [name, text] : back->sidecars)
    if (name == "config.json") {
      auto root = parse_json(text);
      root->get_object()["my_key"] = "mine";
      text = pretty_json(*root);
    }
  ASSERT_TRUE(write(*back, "n").ok());
  const auto again = open_model(path("n"));
  ASSERT_TRUE(again.ok()) << again.error().message;
  expect_same_tensors(c, *again);
  std::map<std::string, std::string> files(again->sidecars.begin(), again->sidecars.end());
  EXPECT_EQ(files["NOTICE"], "kept");
  EXPECT_NE(files["config.json"].find("my_key"), std::string::npos);
}

TEST_F(HfDirectory, RecomputableTensorsAreLeftOutAndNamed) {
  Checkpoint c = with_tokenizer("llama", {});
  c.tensors.push_back(
      {"model.layers.0.self_attn.rotary_emb.inv_freq", {2}, &encoding_f32(), float_data({1, 2}, 2)});
  ASSERT_TRUE(c.reindex().ok());
  ASSERT_TRUE(write(c, "m").ok());
  const auto back = open_model(path("m"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->tensors.size(), c.tensors.size() - 1);
  const auto left = back->metadata.strings_at("carat.import.left_out");
  ASSERT_TRUE(left.ok());
  EXPECT_EQ((*left)->front(), "model.layers.0.self_attn.rotary_emb.inv_freq");
}

TEST_F(HfDirectory, NotesInTheSafetensorsHeaderAreCarried) {
  ASSERT_TRUE(write(with_tokenizer("llama", {}), "m").ok());
  std::ifstream in(path("m/model.safetensors"), std::ios::binary);
  std::string file{std::istreambuf_iterator<char>(in), {}};
  uint64_t size = 0;
  std::memcpy(&size, file.data(), 8);
  std::string header = file.substr(8, size);
  const size_t at = header.find("\"format\"");
  ASSERT_NE(at, std::string::npos);
  header.insert(at, "\"trained_by\":\"someone\",");
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const uint64_t new_size = header.size();
  put("m/model.safetensors",
      std::string(reinterpret_cast<const char*>(&new_size), 8) + header + file.substr(8 + size));
  const auto back = open_model(path("m"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(**back->metadata.string_at("safetensors.trained_by"), "someone");
}

TEST_F(HfDirectory, VectorsBecomeF32AndMatricesStay) {
  const Checkpoint c = with_tokenizer("qwen2", {});
  ASSERT_TRUE(write(c, "m", &encoding_bf16()).ok());
  const auto back = open_model(path("m"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->find("blk.0.attn_norm.weight")->encoding, &encoding_f32());
  EXPECT_EQ(back->find("blk.0.attn_q.bias")->encoding, &encoding_f32());
  EXPECT_EQ(back->find("blk.0.attn_q.weight")->encoding, &encoding_bf16());
  EXPECT_EQ(*back->metadata.unsigned_at("general.file_type"), 32u);
  const auto wide = c.find("blk.0.attn_q.weight")->read_all();
  const auto narrow = back->find("blk.0.attn_q.weight")->read_all();
  for (size_t i = 0; i < wide->size(); ++i) EXPECT_EQ((*narrow)[i], bf16_to_float(float_to_bf16((*wide)[i])));
}

TEST_F(HfDirectory, ShardsReadBackAsOne) {
  const Checkpoint c = with_tokenizer("llama", {.layers = 4});
  ASSERT_TRUE(write(c, "m", &encoding_f32(), 6000).ok());
  EXPECT_TRUE(fs::exists(path("m/model.safetensors.index.json")));
  EXPECT_FALSE(fs::exists(path("m/model.safetensors")));
  const auto back = open_model(path("m"));
  ASSERT_TRUE(back.ok()) << back.error().message;
  expect_same_tensors(c, *back);
}

TEST_F(HfDirectory, OverflowIsAnErrorAndUnderflowIsCounted) {
  Checkpoint c = with_tokenizer("llama", {});
  std::vector<float> values = *c.find("blk.1.ffn_up.weight")->read_all();
  values[5] = 1e-9f;
  values[6] = -1e-30f;
  const auto replace = [&] {
    for (Tensor& t : c.tensors)
      if (t.name == "blk.1.ffn_up.weight") t.data = float_data(values, t.columns());
  };
  replace();
  uint64_t underflows = 0;
  ASSERT_TRUE(write(c, "ok", &encoding_f16(), 5'000'000'000, &underflows).ok());
  EXPECT_EQ(underflows, 2u);
  values[40] = 1e5f;
  replace();
  const Status refused = write(c, "bad", &encoding_f16());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::bad_data);
  EXPECT_NE(refused.error().message.find("blk.1.ffn_up.weight"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("row 3, column 4"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(fs::exists(path("bad")));
  EXPECT_FALSE(fs::exists(path("bad.partial")));
  EXPECT_TRUE(write(c, "bf16", &encoding_bf16()).ok());
}

TEST_F(HfDirectory, WhatIsInTheWayStays) {
  const Checkpoint c = with_tokenizer("llama", {});
  put("taken/precious.txt", "x");
  const Status refused = write(c, "taken");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::usage);
  EXPECT_TRUE(fs::exists(path("taken/precious.txt")));
  // What a killed run left takes leave to go: it may be somebody's.
  put("m.partial/model.safetensors", "half");
  const Status unfinished = write(c, "m");
  ASSERT_FALSE(unfinished.ok());
  EXPECT_EQ(unfinished.error().code, Code::usage);
  EXPECT_NE(unfinished.error().message.find("--force"), std::string::npos) << unfinished.error().message;
  EXPECT_TRUE(fs::exists(path("m.partial/model.safetensors")));
  EXPECT_TRUE(write(c, "m", &encoding_f32(), 5'000'000'000, nullptr, true).ok());
  EXPECT_TRUE(open_model(path("m")).ok());
  EXPECT_EQ(write(c, "nowhere/m").error().code, Code::io) << "a slip in a path is no wish for directories";
}

TEST_F(HfDirectory, TheSourceIsNeverInTheWay) {
  ASSERT_TRUE(write(with_tokenizer("llama", {}), "m.partial").ok());
  fs::create_directory_symlink(path("m.partial"), path("link.partial"));
  const auto source = open_model(path("m.partial"));
  ASSERT_TRUE(source.ok()) << source.error().message;
  for (const char* name : {"m", "link"}) {
    const Status refused = write(*source, name, &encoding_bf16(), 5'000'000'000, nullptr, true);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().code, Code::usage);
    EXPECT_FALSE(fs::exists(path(name)));
    EXPECT_TRUE(open_model(path("m.partial")).ok()) << name;
  }
}

TEST_F(HfDirectory, WhatCouldNotBeReadBackIsNotWritten) {
  const Status refused = write(tiny_model("llama", {}), "m");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::bad_data);
  EXPECT_NE(refused.error().message.find("tokenizer"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(fs::exists(path("m")));
}

TEST_F(HfDirectory, TiedEmbeddings) {
  const Checkpoint c = with_tokenizer("llama", {});
  ASSERT_TRUE(write(c, "m").ok());
  std::ifstream in(path("m/config.json"));
  std::string config{std::istreambuf_iterator<char>(in), {}};
  const size_t at = config.find("\"tie_word_embeddings\": false");
  ASSERT_NE(at, std::string::npos);
  put("m/config.json", config.replace(at, 28, "\"tie_word_embeddings\": true"));
  const auto differs = open_model(path("m"));
  ASSERT_FALSE(differs.ok());
  EXPECT_NE(differs.error().message.find("lm_head.weight differs"), std::string::npos);

  Checkpoint tied = with_tokenizer("llama", {.tied = true});
  ASSERT_TRUE(write(tied, "t").ok());
  EXPECT_TRUE(read_model_config(*open_model(path("t")))->tied_embeddings);
}

TEST_F(HfDirectory, DirectoriesThatAreNoModelSayWhy) {
  const auto expect = [&](const std::string& name, std::string_view part) {
    const auto c = open_model(path(name));
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().code, Code::no_input);
    EXPECT_NE(c.error().message.find(part), std::string::npos) << c.error().message;
  };
  expect("nothing", "no such file");
  put("gguf/a.gguf", "GGUF");
  expect("gguf", "gguf/a.gguf");
  put("bin/config.json", "{}");
  put("bin/pytorch_model.bin", "x");
  expect("bin", "convert them to safetensors");
  put("weights/model.safetensors", "x");
  expect("weights", "no config.json");
  expect("weights/model.safetensors", "name the directory");
  fs::create_directories(path("empty"));
  expect("empty", "is no model");
}

}  // namespace
}  // namespace carat
