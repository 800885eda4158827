// read_model_config on any GGUF file: what it accepts can be run, so that every number in it is bounded by
// the tensors that are there.
#include "arch/family.h"
#include "arch/model_config.h"
#include "containers/gguf.h"
#include "fuzz/check.h"
#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace carat;
  const fuzz::MemoryFile file(data, size);
  const auto read = read_gguf(file.path());
  if (!read.ok()) return 0;
  auto model = read_model_config(*read);
  if (!model.ok()) {
    fuzz::check(model.error().code == Code::bad_data);
    fuzz::check(!model.error().message.empty() && model.error().message.size() < 4000);
    return 0;
  }
  const auto elements = static_cast<int64_t>(8 * size);  // no encoding has fewer bits
  fuzz::check(model->width * model->vocabulary <= elements);
  fuzz::check(model->layers <= static_cast<int64_t>(read->tensors.size()));
  fuzz::check(model->kv_heads > 0 && model->heads % model->kv_heads == 0 && model->head_dim > 0);
  fuzz::check(model->rotary_dim >= 0 && model->rotary_dim <= model->head_dim);
  fuzz::check(find_family(model->architecture) != nullptr);
  for (const int64_t context : {int64_t{0}, int64_t{1} << 40}) {
    model->use_context(context);
    fuzz::check(model->rope_divisors.empty() ||
                static_cast<int>(model->rope_divisors.size()) == model->rotary_dim / 2);
    std::vector<float> cos(model->rotary_dim / 2), sin(model->rotary_dim / 2);
    if (model->rotary_dim > 0) rope_row(*model, 1000, cos.data(), sin.data());
  }
  return 0;
}
