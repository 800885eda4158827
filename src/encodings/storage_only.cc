// Sizes and ids: ggml.h and ggml-common.h of ggml@d99724f2, and the gguf package's GGML_QUANT_SIZES. Moving
// one of these to a header of its own and into all.h is how it becomes computable.
#include "encodings/storage_only.h"

namespace carat {
namespace {

constexpr Encoding carried(std::string_view name, uint32_t ggml_type, int block, uint32_t block_bytes) {
  return {.name = name,
          .ggml_type = ggml_type,
          .atom = 1,
          .leaf = block,
          .block = block,
          .block_bytes = block_bytes,
          .is_float = false,
          .has_integers = false,
          .decode_part = nullptr};
}

constexpr Encoding kStorageOnly[] = {
    // Activation formats; some tools store them.
    carried("Q8_1", 9, 32, 36),
    carried("Q8_K", 15, 256, 292),
    // Others.
    carried("Q1_0", 41, 128, 18),
    carried("Q2_0", 42, 64, 18),
    // Plain integers and doubles.
    carried("I8", 24, 1, 1),
    carried("I16", 25, 1, 2),
    carried("I32", 26, 1, 4),
    carried("I64", 27, 1, 8),
    carried("F64", 28, 1, 8),
    // Only in safetensors.
    carried("BOOL", kNoGgmlType, 1, 1),
    carried("U8", kNoGgmlType, 1, 1),
    carried("U16", kNoGgmlType, 1, 2),
    carried("U32", kNoGgmlType, 1, 4),
    carried("U64", kNoGgmlType, 1, 8),
    carried("F8_E4M3", kNoGgmlType, 1, 1),
    carried("F8_E5M2", kNoGgmlType, 1, 1),
};

}  // namespace

std::span<const Encoding> storage_only_encodings() { return kStorageOnly; }

}  // namespace carat
