// How the keys and values of one layer and one sequence lie in memory.
//
// Positions come in chunks of kKvChunk = 64; a chunk holds, one key-value head after the other, a plane of
// keys and a plane of values. So a cache grows by whole chunks without moving what is there, a head's share
// of a chunk is one stream, and threads can read different heads or different chunks.
//
//             keys                                       values
//   F16       [channel][64 positions] f16                [64 positions][channel] f16
//   Q8_0      [channel / 2][64 positions][2] int8        [32 pairs of positions][channel][2] int8
//             [channel / 32][64 positions] f16 scales    [channel / 32][64 positions] f16 scales
//
// Keys lie across, because a score is a sum over channels: with positions in the lanes it needs neither a
// transposition, which made up half the time of a single token, nor sums over lanes. The pairs of Q8_0 are
// what a multiply-add of 16-bit integers takes. Channels are padded with zeros to a multiple of 16.
//
// Q8_0 is GGUF's encoding, one f16 scale for 32 channels of a position; only its parts are laid out anew.
#pragma once

#include <cstdint>
#include <string_view>

namespace carat {

enum class KvEncoding { f16, q8_0 };
inline constexpr int kKvEncodings = 2;

/// "F16", "Q8_0".
constexpr std::string_view kv_encoding_name(KvEncoding e) { return e == KvEncoding::f16 ? "F16" : "Q8_0"; }

/// Positions of a chunk.
inline constexpr int64_t kKvChunk = 64;

struct KvFormat {
  KvEncoding encoding = KvEncoding::f16;
  int kv_heads = 0, head_dim = 0;

  constexpr int64_t channels() const { return (head_dim + 15) / 16 * 16; }
  /// Bytes of the keys, and of the values, of one head in one chunk: a multiple of 64.
  constexpr int64_t plane_bytes() const {
    return encoding == KvEncoding::f16 ? kKvChunk * 2 * channels()
                                       : kKvChunk * (channels() + 2 * ((channels() + 31) / 32));
  }
  /// Bytes of one position's keys and values.
  constexpr int64_t position_bytes() const { return 2 * kv_heads * plane_bytes() / kKvChunk; }
  constexpr int64_t chunk_bytes() const { return 2 * kv_heads * plane_bytes(); }
  /// Bytes of a cache with room for `positions`.
  constexpr int64_t bytes(int64_t positions) const {
    return (positions + kKvChunk - 1) / kKvChunk * chunk_bytes();
  }
};

}  // namespace carat
