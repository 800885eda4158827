// Any bytes as tokenizer.json: turned into metadata, used, written back.
#include <string_view>

#include "fuzz/check.h"
#include "text/hf_tokenizer.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace carat;
  HfTokenizerFiles files;
  files.tokenizer_json.emplace(reinterpret_cast<const char*>(data), size);
  files.config_json = "{}";
  Metadata metadata;
  if (const Status s = add_tokenizer_metadata(files, 512, metadata); !s) {
    fuzz::check(s.error().code == Code::bad_data || s.error().code == Code::no_input);
    return 0;
  }
  const auto tokenizer = Tokenizer::from_metadata(metadata);
  if (!tokenizer) return 0;
  // Bytes that are no UTF-8, markers and runs, cut at every place the vocabulary may cut.
  const std::string text =
      "Hello 123 <|im_end|>\xff\xf0\x9f\xa6\x99  \n\n'll <s>" + files.tokenizer_json->substr(0, 200);
  const auto ids = (*tokenizer)->encode(text, true, true);
  fuzz::check(ids.ok());
  for (const TokenId id : *ids)
    fuzz::check(id >= 0 && static_cast<size_t>(id) < (*tokenizer)->vocabulary_size());
  (*tokenizer)->decode(*ids, true);
  if (const auto written = make_hf_tokenizer_files(metadata); written.ok()) {
    HfTokenizerFiles again;
    again.tokenizer_json = (*written)[0].second;
    again.tokenizer_config_json = (*written)[1].second;
    again.config_json = "{}";
    Metadata back;
    const Status s = add_tokenizer_metadata(again, 512, back);
    fuzz::check(s.ok() || s.error().code == Code::bad_data);
  }
  return 0;
}
