// Unpacking through an encoding's canonical planes, one row at a time: right for every encoding, and what the
// portable products use.
//
// Included after generic/quantized_product.h.

namespace carat {
namespace {

template <class S, class E>
struct Unpack {
  using Facts = CodeFacts<S, E>;
  static constexpr int kGroup = 32;
  Panel tile;

  Unpack(const uint8_t* rows, int64_t stride) {
    for (int row = 0; row < kPanelRows; ++row)
      for (int b = 0; b < kTileColumns / E::kBlock; ++b) {
        typename E::Planes planes;
        E::unpack(reinterpret_cast<const typename E::Block*>(rows + row * stride)[b], planes);
        for (int k = 0; k < E::kBlock; ++k) {
          const int level = E::level(planes.code[static_cast<size_t>(k)]);
          tile.codes[(b * E::kBlock + k) / 4 * 64 + row * 4 + k % 4] =
              static_cast<uint8_t>(level + Facts::kZero);
        }
        for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
          tile.scale[(b * E::kLeaves + leaf) * kPanelRows + row] = leaf_scale<E>(planes, leaf);
          tile.offset[(b * E::kLeaves + leaf) * kPanelRows + row] = leaf_offset<E>(planes, leaf);
        }
      }
  }

  template <int leaf>
  typename S::F scale() const {
    return S::load(tile.scale + kPanelRows * leaf);
  }
  template <int leaf>
  typename S::F offset() const {
    return S::load(tile.offset + kPanelRows * leaf);
  }
  template <int g, class Sink>
  void codes(Sink&& sink) {
    unrolled<kGroup / 4>(
        [&](auto k) { sink.template take<k>(S::load_i(tile.codes + (g * kGroup / 4 + k) * 64)); });
  }
};

}  // namespace
}  // namespace carat
