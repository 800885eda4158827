// A tokenizer for tests: every byte is a token, and there are a few control tokens.
#pragma once

#include <string>
#include <vector>

#include "containers/checkpoint.h"

namespace carat::testing {

constexpr int64_t byte_vocabulary = 259;  ///< unknown, begin, end, 256 bytes

/// Adds tokenizer.ggml.* for byte_vocabulary tokens: <unk> = 0, <s> = 1, </s> = 2, byte b = 3 + b.
inline void add_byte_tokenizer(Checkpoint& c, bool adds_bos = true) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int b = 0; b < 256; ++b) {
    tokens.push_back(fmt::format("<0x{:02X}>", b));
    types.push_back(6);
  }
  c.metadata.set("tokenizer.ggml.model", Value::string("llama"));
  c.metadata.set("tokenizer.ggml.scores", Value::f32s(std::vector<float>(tokens.size())));
  c.metadata.set("tokenizer.ggml.tokens", Value::strings(std::move(tokens)));
  c.metadata.set("tokenizer.ggml.token_type", Value::i32s(std::move(types)));
  c.metadata.set("tokenizer.ggml.bos_token_id", Value::u32(1));
  c.metadata.set("tokenizer.ggml.eos_token_id", Value::u32(2));
  c.metadata.set("tokenizer.ggml.unknown_token_id", Value::u32(0));
  c.metadata.set("tokenizer.ggml.add_bos_token", Value::boolean(adds_bos));
  c.metadata.set("tokenizer.ggml.add_eos_token", Value::boolean(false));
  c.metadata.set("tokenizer.ggml.add_space_prefix", Value::boolean(false));
}

}  // namespace carat::testing
