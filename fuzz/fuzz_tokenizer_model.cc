// Any bytes as tokenizer.model (SentencePiece's protobuf): turned into metadata, used, written back.
#include "fuzz/check.h"
#include "text/hf_tokenizer.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace carat;
  HfTokenizerFiles files;
  files.tokenizer_model.emplace(reinterpret_cast<const char*>(data), size);
  files.config_json = "{}";
  Metadata metadata;
  if (const Status s = add_tokenizer_metadata(files, 0, metadata); !s) {
    fuzz::check(s.error().code == Code::bad_data);
    fuzz::check(s.error().message.size() < 2000);
    return 0;
  }
  const auto tokenizer = Tokenizer::from_metadata(metadata);
  if (!tokenizer) return 0;
  const std::string text = "Hello  123\xff\xf0\x9f\xa6\x99 <s>aaaa" + files.tokenizer_model->substr(0, 200);
  const auto ids = (*tokenizer)->encode(text, true, true);
  fuzz::check(ids.ok());
  for (const TokenId id : *ids)
    fuzz::check(id >= 0 && static_cast<size_t>(id) < (*tokenizer)->vocabulary_size());
  (*tokenizer)->decode(*ids, true);
  const auto written = make_hf_tokenizer_files(metadata);
  fuzz::check(written.ok() || written.error().code == Code::bad_data);
  return 0;
}
