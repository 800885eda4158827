#include "encodings/encoding.h"

#include <array>

#include "encodings/all.h"
#include "encodings/names.h"
#include "encodings/storage_only.h"

namespace carat {
namespace {

template <class E>
void decode_part(const Encoding&, const uint8_t* row, int64_t, int64_t first, int64_t n, float* dst) {
  row += first / E::kBlock * int64_t{sizeof(typename E::Block)};
  if constexpr (E::kFloat) {
    E::decode(row, dst, n);
  } else {
    typename E::Planes planes;
    const auto* block = reinterpret_cast<const typename E::Block*>(row);  // packed: any alignment will do
    for (int64_t i = 0; i < n; i += E::kBlock) {
      E::unpack(*block++, planes);
      decode_planes<E>(planes, dst + i);
    }
  }
}

template <class E>
constexpr Encoding kEncoding = {.name = E::kName,
                                .kind = kind_of<E>(),
                                .ggml_type = E::kGgmlType,
                                .atom = E::kAtom,
                                .leaf = E::kLeaf,
                                .block = E::kBlock,
                                .block_bytes = sizeof(typename E::Block),
                                .is_float = E::kFloat,
                                .has_integers = !E::kFloat,
                                .decode_part = decode_part<E>};

template <class... E>
constexpr std::array<const Encoding*, sizeof...(E)> pointers(EncodingList<E...>) {
  return {&kEncoding<E>...};
}

constexpr auto kAll = pointers(AllEncodings{});

}  // namespace

std::optional<uint64_t> Encoding::checked_bytes(uint64_t rows, uint64_t columns) const {
  if (columns % static_cast<uint64_t>(block) != 0) return std::nullopt;
  const auto blocks = checked_mul(columns / static_cast<uint64_t>(block), block_bytes);
  if (!blocks || columns > INT64_MAX / 2) return std::nullopt;
  const auto row = checked_add(*blocks, span_bytes_of(static_cast<int64_t>(columns)));
  if (!row) return std::nullopt;
  return checked_mul(rows, *row);
}

void Encoding::decode_rows(const uint8_t* src, int64_t rows, int64_t columns, float* dst) const {
  if (!is_grouped()) return decode(src, dst, rows * columns);
  const uint64_t bytes = row_bytes(columns);
  for (int64_t r = 0; r < rows; ++r, src += bytes, dst += columns) decode(src, dst, columns);
}

std::span<const Encoding* const> all_encodings() { return kAll; }

const Encoding* find_encoding(std::string_view name) {
  for (const Encoding* e : kAll)
    if (same_ignoring_case(e->name, name)) return e;
  for (const Encoding& e : storage_only_encodings())
    if (same_ignoring_case(e.name, name)) return &e;
  return find_grouped(name);
}

const Encoding* find_ggml_type(uint32_t id) {
  if (id == kNoGgmlType) return nullptr;
  for (const Encoding* e : kAll)
    if (e->ggml_type == id) return e;
  for (const Encoding& e : storage_only_encodings())
    if (e.ggml_type == id) return &e;
  return find_grouped_type(id);
}

const Encoding& encoding_f32() { return kEncoding<F32>; }
const Encoding& encoding_f16() { return kEncoding<F16>; }
const Encoding& encoding_bf16() { return kEncoding<BF16>; }

}  // namespace carat
