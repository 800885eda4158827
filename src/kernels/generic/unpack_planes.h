// Unpacking through an encoding's canonical planes, or a grouped encoding's codes, one row at a time: right
// for every encoding of single columns, and what the portable products use.
//
// Included after generic/quantized_product.h.

namespace carat {
namespace {

template <class S, class E>
requires(!E::kGrouped && E::kAtom == 1) struct Unpack<S, E> {
  using Facts = CodeFacts<S, E>;
  static constexpr int kGroup = 32;
  static constexpr int raise(int) { return 0; }
  Panel<E> tile;
  typename S::F d, negative_m;

  explicit Unpack(const SixteenRows& rows) {
    for (int row = 0; row < kPanelRows; ++row)
      for (int b = 0; b < kTileColumns / E::kBlock; ++b) {
        typename E::Planes planes;
        E::unpack(reinterpret_cast<const typename E::Block*>(rows.row<0>() + row * rows.distance<1>())[b],
                  planes);
        for (int k = 0; k < E::kBlock; ++k) {
          const int level = E::level(planes.code[static_cast<size_t>(k)]);
          tile.codes[(b * E::kBlock + k) / 4 * 64 + row * 4 + k % 4] =
              static_cast<uint8_t>(level + Facts::kZero);
        }
        for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
          const int at = (b * E::kLeaves + leaf) * kPanelRows + row;
          if constexpr (E::kTwoLevel)
            tile.scale[at] = planes.scale[static_cast<size_t>(leaf)];
          else
            tile.scale[at] = leaf_scale<E>(planes, leaf);
          if constexpr (Facts::kTwoLevel && Facts::kHasOffset)
            reinterpret_cast<uint8_t*>(tile.offset + leaf / 4 * kPanelRows + row)[leaf % 4] =
                planes.min[static_cast<size_t>(leaf)];
          else if constexpr (Facts::kHasOffset)
            tile.offset[at] = leaf_offset<E>(planes, leaf);
        }
        tile.d[row] = f16_to_float(planes.d);
        tile.negative_m[row] = -f16_to_float(planes.m);
      }
    d = S::load(tile.d);
    negative_m = S::load(tile.negative_m);
  }

  static typename S::F load(const float* p) { return S::load(p); }
  static typename S::I load(const int32_t* p) { return S::load_i(p); }
  template <int leaf>
  auto scale() const {
    return load(tile.scale + kPanelRows * leaf);
  }
  template <int leaf>
  auto offset() const {
    return load(tile.offset + kPanelRows * leaf);
  }
  template <int q>
  auto offsets() const {
    return load(tile.offset + kPanelRows * q);
  }
  template <int g, class Sink>
  void codes(Sink&& sink) {
    unrolled<kGroup / 4>(
        [&](auto k) { sink.template take<k>(S::load_i(tile.codes + (g * kGroup / 4 + k) * 64)); });
  }
};

template <class S, class E>
requires E::kGrouped struct Unpack<S, E> {
  static constexpr int kGroup = 32;
  static constexpr int raise(int) { return 0; }
  const GroupParameters<S, E>& parameters;
  alignas(64) uint8_t tile[kTileColumns * kPanelRows];

  Unpack(const SixteenRows& rows, const GroupParameters<S, E>& p) : parameters(p) {
    for (int row = 0; row < kPanelRows; ++row)
      for (int b = 0; b < kTileColumns / 32; ++b) {
        typename E::Codes codes;
        E::unpack(reinterpret_cast<const typename E::Block*>(rows.row<0>() + row * rows.distance<1>())[b],
                  codes.data());
        for (int k = 0; k < 32; ++k)
          tile[(b * 32 + k) / 4 * 64 + row * 4 + k % 4] =
              static_cast<uint8_t>(E::level(codes[static_cast<size_t>(k)]) + CodeFacts<S, E>::kZero);
      }
  }
  template <int leaf>
  auto scale() const {
    return S::load(parameters.scale[leaf]);
  }
  template <int leaf>
  auto offset() const {
    return S::load(parameters.offset[leaf]);
  }
  template <int g, class Sink>
  void codes(Sink&& sink) {
    unrolled<8>([&](auto k) { sink.template take<k>(S::load_i(tile + (g * 8 + k) * 64)); });
  }
};

}  // namespace
}  // namespace carat
