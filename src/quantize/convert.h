// Between containers and float encodings, without quantizing anything.
#pragma once

#include <string>

#include "quantize/quantize.h"

namespace carat {

enum class Container { gguf, huggingface };

struct ConvertOptions {
  Container container = Container::gguf;
  /// F32, F16 or BF16 for the matrices; null keeps every tensor as it is (GGUF only).
  const Encoding* encoding = nullptr;
  bool resume = false;  ///< GGUF only
  bool discard_partial = false;
  uint64_t split_bytes = 0;  ///< most bytes of one file; 0: GGUF in one, safetensors by Hugging Face's custom
};

/// Writes a GGUF file or a Hugging Face directory. Quantized tensors are decoded where a float encoding is
/// asked for. Values that overflow the encoding are bad_data naming the tensor; underflows are counted in the
/// report.
Result<QuantizeReport> convert(const Context& context, const Checkpoint& checkpoint,
                               const std::string& out_path, const ConvertOptions& options);

}  // namespace carat
