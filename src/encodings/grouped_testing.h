// Rows of grouped encodings at random, for the tests of several folders.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "encodings/all.h"

namespace carat::testing {

/// Names of encodings of kind E that rows of 384 columns fit: of each sort of group, some that do not divide
/// 256 columns.
template <class E>
std::vector<const Encoding*> encodings_of_kind() {
  std::vector<const Encoding*> list;
  for (const char* ending :
       {"", "_CHANNEL", "_TENSOR", "_BLOCK128", "_G32", "_G64", "_G96", "_G128", "_G192"})
    if (const Encoding* e = find_encoding(std::string(E::kName) + ending)) list.push_back(e);
  return list;
}

/// What a row holds, as the formats' own descriptions have it.
struct GroupedRow {
  std::vector<float> scale, zero;  ///< per group; of NF4 near to what is stored
  std::vector<uint8_t> code;       ///< per column
};

/// Any codes; scales of both signs where the kind has them.
template <class E>
GroupedRow random_row(const Encoding& e, int64_t columns, Random& random, std::vector<uint8_t>& bytes) {
  const GroupShape shape = group_shape(e, columns);
  GroupedRow row;
  for (int64_t g = 0; g < shape.groups; ++g) {
    float scale = static_cast<float>(0.001 + 0.01 * random.uniform());
    if constexpr (requires { E::kBits; }) {
      scale = f16_to_float(float_to_f16(random.uniform() < 0.3 ? -scale : scale));
    }
    row.scale.push_back(scale);
    row.zero.push_back(E::kZeroPoint ? static_cast<float>(random.next() % E::kCodes) : 0.0f);
  }
  bytes.assign(e.row_bytes(columns), 0xa5);
  E::write_parameters(row.scale.data(), row.zero.data(), shape.groups, bytes.data());
  auto* block = reinterpret_cast<typename E::Block*>(bytes.data() + shape.codes_at);
  for (int64_t column = 0; column < columns; column += 32) {
    for (int j = 0; j < 32; ++j) {
      auto code = static_cast<uint8_t>(random.next() % E::kCodes);
      if (std::is_same_v<E, FP8> && (code & 0x7f) == 0x7f) code = 0;  // NaN
      row.code.push_back(code);
    }
    E::pack(row.code.data() + column, *block++);
  }
  return row;
}

}  // namespace carat::testing
