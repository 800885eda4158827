// Protobuf wire format: a message is (varint key = field << 3 | wire type, value)*; wire type 0 is a varint,
// 1 eight bytes, 2 a varint length and that many bytes, 5 four bytes. The fields used
// (sentencepiece_model.proto):
//   ModelProto       1 SentencePiece*, 2 TrainerSpec, 3 NormalizerSpec
//   SentencePiece    1 piece, 2 score (float), 3 type
//   TrainerSpec      3 model_type, 24 treat_whitespace_as_suffix, 40 unk_id, 41 bos_id, 42 eos_id, 43 pad_id
//   NormalizerSpec   2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces
#include "text/sentencepiece_model.h"

#include <bit>
#include <cstring>

namespace carat {
namespace {

constexpr size_t max_pieces = size_t{1} << 22;

struct Field {
  uint64_t number = 0;
  int wire = 0;
  uint64_t integer = 0;    ///< of a varint or fixed value
  std::string_view bytes;  ///< of a length-delimited one
};

class Message {
 public:
  Message(std::string_view bytes, size_t offset) : bytes_(bytes), offset_(offset) {}
  bool done() const { return at_ == bytes_.size(); }
  size_t offset() const { return offset_ + at_; }

  Result<Field> next() {
    Field f;
    CARAT_TRY(const uint64_t key, varint());
    f.number = key >> 3;
    f.wire = static_cast<int>(key & 7);
    switch (f.wire) {
      case 0: {
        CARAT_TRY(f.integer, varint());
        return f;
      }
      case 1:
      case 5: {
        const size_t size = f.wire == 1 ? 8 : 4;
        if (bytes_.size() - at_ < size) return broken();
        for (size_t i = 0; i < size; ++i)
          f.integer |= uint64_t{static_cast<uint8_t>(bytes_[at_ + i])} << 8 * i;
        at_ += size;
        return f;
      }
      case 2: {
        CARAT_TRY(const uint64_t size, varint());
        if (size > bytes_.size() - at_) return broken();
        f.bytes = bytes_.substr(at_, size);
        at_ += size;
        return f;
      }
      default:
        return broken();
    }
  }

 private:
  Error broken() const { return bad_data("tokenizer.model: no valid protobuf at byte {}", offset()); }
  Result<uint64_t> varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (done()) return broken();
      const auto byte = static_cast<uint8_t>(bytes_[at_++]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    return broken();
  }
  std::string_view bytes_;
  size_t offset_, at_ = 0;
};

/// Calls each(field) -> Status for every field of a message that is part of `whole`.
template <class Each>
Status for_fields(std::string_view whole, std::string_view bytes, Each&& each) {
  Message message(bytes, static_cast<size_t>(bytes.data() - whole.data()));
  while (!message.done()) {
    CARAT_TRY(const Field f, message.next());
    CARAT_DO(each(f));
  }
  return {};
}

Result<SentencePieceModel::Piece> read_piece(std::string_view whole, std::string_view bytes) {
  SentencePieceModel::Piece piece;
  CARAT_DO(for_fields(whole, bytes, [&](const Field& f) -> Status {
    if (f.number == 1 && f.wire == 2) piece.text = f.bytes;
    if (f.number == 2 && f.wire == 5) piece.score = std::bit_cast<float>(static_cast<uint32_t>(f.integer));
    if (f.number == 3 && f.wire == 0) {
      if (f.integer < 1 || f.integer > 6)
        return bad_data("tokenizer.model: a piece has the unknown type {}", f.integer);
      piece.type = static_cast<int>(f.integer);
    }
    return {};
  }));
  return piece;
}

}  // namespace

Result<SentencePieceModel> read_sentencepiece_model(std::string_view bytes) {
  SentencePieceModel model;
  CARAT_DO(for_fields(bytes, bytes, [&](const Field& f) -> Status {
    if (f.wire != 2) return {};
    if (f.number == 1) {
      if (model.pieces.size() == max_pieces)
        return bad_data("tokenizer.model has more than {} pieces", max_pieces);
      CARAT_TRY(auto piece, read_piece(bytes, f.bytes));
      model.pieces.push_back(std::move(piece));
    } else if (f.number == 2) {
      return for_fields(bytes, f.bytes, [&](const Field& spec) -> Status {
        if (spec.wire != 0) return {};
        // Ids are int32, written as 64-bit two's complement where negative.
        const auto value = static_cast<int64_t>(static_cast<int32_t>(spec.integer));
        if (spec.number == 3) model.model_type = static_cast<int>(value);
        if (spec.number == 24) model.space_at_end = value != 0;
        if (spec.number == 40) model.unknown = value;
        if (spec.number == 41) model.bos = value;
        if (spec.number == 42) model.eos = value;
        if (spec.number == 43) model.pad = value;
        return {};
      });
    } else if (f.number == 3) {
      return for_fields(bytes, f.bytes, [&](const Field& spec) -> Status {
        if (spec.number == 2 && spec.wire == 2) model.charsmap = spec.bytes;
        if (spec.number == 3 && spec.wire == 0) model.add_dummy_prefix = spec.integer != 0;
        if (spec.number == 4 && spec.wire == 0) model.remove_extra_whitespaces = spec.integer != 0;
        return {};
      });
    }
    return {};
  }));
  if (model.pieces.empty()) return bad_data("tokenizer.model holds no pieces");
  return model;
}

}  // namespace carat
