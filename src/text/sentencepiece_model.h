// tokenizer.model: SentencePiece's ModelProto, as much of it as matters for tokenizing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace carat {

struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    int type = 1;  ///< the numbers are those of tokenizer.ggml.token_type
  };
  std::vector<Piece> pieces;
  int model_type = 1;  ///< 1 unigram, 2 BPE, 3 word, 4 char
  int64_t unknown = 0, bos = 1, eos = 2, pad = -1;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool space_at_end = false;  ///< of words instead of at their beginning
  std::string charsmap;       ///< maps characters before tokenizing (charsmap.h); empty if none are mapped
};

/// bad_data with the byte at fault where the protobuf is broken.
Result<SentencePieceModel> read_sentencepiece_model(std::string_view bytes);

}  // namespace carat
