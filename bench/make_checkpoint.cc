// Writes a GGUF file with random weights in any llama shape, for measuring speed where no real model is at
// hand.
//
//   make_checkpoint OUT [--shape NAME] [--encoding F32|F16|BF16] [--layers N] [--width N] [--feed-forward N]
//                   [--heads N] [--kv-heads N] [--head-dim N] [--vocabulary N] [--context N] [--tied] [--seed
//                   N]
//
// Shapes: tinyllama-1.1b (the default), smollm2-135m, llama3-8b, llama2-7b; options after --shape change
// them. The file is valid for carat and llama.cpp, tokenizer included.
#include <fmt/format.h>

#include <charconv>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_pool.h"
#include "containers/gguf.h"
#include "measure/synthetic.h"

namespace carat {
namespace {

const std::map<std::string_view, SyntheticShape> kShapes = {
    {"tinyllama-1.1b", {}},
    {"smollm2-135m", {30, 576, 1536, 9, 3, 64, 49152, 8192, true, 100000.0f}},
    {"llama3-8b", {32, 4096, 14336, 32, 8, 128, 128256, 131072, false, 500000.0f}},
    {"llama2-7b", {32, 4096, 11008, 32, 32, 128, 32000, 4096, false, 10000.0f}}};

struct Options {
  std::string out;
  SyntheticShape shape;
  const Encoding* encoding = &encoding_bf16();
  int64_t seed = 1;
};

Result<Options> parse(int argc, char** argv) {
  Options o;
  const std::map<std::string_view, int64_t*> numbers = {{"--layers", &o.shape.layers},
                                                        {"--width", &o.shape.width},
                                                        {"--feed-forward", &o.shape.feed_forward},
                                                        {"--heads", &o.shape.heads},
                                                        {"--kv-heads", &o.shape.kv_heads},
                                                        {"--head-dim", &o.shape.head_dim},
                                                        {"--vocabulary", &o.shape.vocabulary},
                                                        {"--context", &o.shape.context},
                                                        {"--seed", &o.seed}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) {
      o.out = word;
      continue;
    }
    if (word == "--tied") {
      o.shape.tied = true;
      continue;
    }
    if (++i == argc) return usage_error("{} needs a value", word);
    const std::string_view value = argv[i];
    if (word == "--shape") {
      const auto found = kShapes.find(value);
      if (found == kShapes.end()) return usage_error("there is no shape {}", value);
      o.shape = found->second;
    } else if (word == "--encoding") {
      o.encoding = find_encoding(value);
      if (!o.encoding) return usage_error("there is no encoding {}", value);
    } else if (const auto number = numbers.find(word); number != numbers.end()) {
      const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), *number->second);
      if (code != std::errc() || end != value.data() + value.size())
        return usage_error("{}: '{}' is not a whole number", word, value);
    } else {
      return usage_error("unknown option {}", word);
    }
  }
  if (o.out.empty()) return usage_error("the name of the file to write is missing");
  return o;
}

Status write(const Options& o) {
  constexpr int64_t kSlabWeights = 8 << 20;
  CARAT_TRY(const Checkpoint c, synthetic_llama(o.shape, *o.encoding, static_cast<uint64_t>(o.seed)));
  std::vector<PlannedTensor> plan;
  for (const Tensor& t : c.tensors) plan.push_back({t.name, t.shape, t.encoding});
  CARAT_TRY(const auto writer, create_gguf(o.out, c.metadata, plan, {"synthetic", false, true}));
  ThreadPool pool;
  std::vector<uint8_t> slab;
  for (const Tensor& t : c.tensors) {
    const int64_t step = std::max<int64_t>(1, kSlabWeights / t.columns());
    for (int64_t first = 0; first < t.rows(); first += step) {
      const int64_t count = std::min(step, t.rows() - first);
      slab.resize(static_cast<size_t>(count) * t.row_bytes());
      pool.parallel_for(count, 16, [&](int64_t begin, int64_t end, int) {
        // Made up, not read: this cannot fail.
        (void)t.data->read_bytes(first + begin, end - begin,
                                 slab.data() + static_cast<uint64_t>(begin) * t.row_bytes());
      });
      CARAT_DO(writer->write(slab));
    }
    CARAT_DO(writer->finish_tensor(""));
  }
  return writer->finish();
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  auto options = carat::parse(argc, argv);
  carat::Status status = options.ok() ? carat::write(*options) : carat::Status(options.error());
  if (status.ok()) return 0;
  fmt::print(stderr, "make_checkpoint: {}\n", status.error().message);
  return static_cast<int>(status.error().code);
}
