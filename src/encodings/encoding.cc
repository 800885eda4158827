#include "encodings/encoding.h"

#include <algorithm>
#include <array>

#include "encodings/all.h"
#include "encodings/storage_only.h"

namespace carat {
namespace {

template <class E>
void decode(const uint8_t* src, float* dst, int64_t n) {
  if constexpr (E::kFloat) {
    E::decode(src, dst, n);
  } else {
    typename E::Planes planes;
    const auto* block = reinterpret_cast<const typename E::Block*>(src);  // packed: any alignment will do
    for (int64_t i = 0; i < n; i += E::kBlock) {
      E::unpack(*block++, planes);
      decode_planes<E>(planes, dst + i);
    }
  }
}

template <class E>
constexpr Encoding kEncoding = {.name = E::kName,
                                .ggml_type = E::kGgmlType,
                                .atom = E::kAtom,
                                .leaf = E::kLeaf,
                                .block = E::kBlock,
                                .block_bytes = sizeof(typename E::Block),
                                .is_float = E::kFloat,
                                .decode = decode<E>};

template <class... E>
constexpr std::array<const Encoding*, sizeof...(E)> pointers(EncodingList<E...>) {
  return {&kEncoding<E>...};
}

constexpr auto kAll = pointers(AllEncodings{});

bool same_ignoring_case(std::string_view a, std::string_view b) {
  constexpr auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  return std::ranges::equal(a, b, {}, upper, upper);
}

}  // namespace

std::optional<uint64_t> Encoding::checked_bytes(uint64_t rows, uint64_t columns) const {
  if (columns % static_cast<uint64_t>(block) != 0) return std::nullopt;
  const auto row = checked_mul(columns / static_cast<uint64_t>(block), block_bytes);
  if (!row) return std::nullopt;
  return checked_mul(rows, *row);
}

std::span<const Encoding* const> all_encodings() { return kAll; }

const Encoding* find_encoding(std::string_view name) {
  for (const Encoding* e : kAll)
    if (same_ignoring_case(e->name, name)) return e;
  for (const Encoding& e : storage_only_encodings())
    if (same_ignoring_case(e.name, name)) return &e;
  return nullptr;
}

const Encoding* find_ggml_type(uint32_t id) {
  if (id == kNoGgmlType) return nullptr;
  for (const Encoding* e : kAll)
    if (e->ggml_type == id) return e;
  for (const Encoding& e : storage_only_encodings())
    if (e.ggml_type == id) return &e;
  return nullptr;
}

const Encoding& encoding_f32() { return kEncoding<F32>; }
const Encoding& encoding_f16() { return kEncoding<F16>; }
const Encoding& encoding_bf16() { return kEncoding<BF16>; }

}  // namespace carat
