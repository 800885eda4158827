// Unpacking through an encoding's canonical planes, one row at a time: right for every encoding, and what the
// portable products use.
//
// Included after generic/quantized_product.h.

namespace carat {
namespace {

template <class S, class E>
struct Unpack {
  using Facts = CodeFacts<S, E>;

  static void block(const uint8_t* p, int64_t stride, uint8_t* codes, float* scale, float* offset) {
    for (int row = 0; row < kPanelRows; ++row) {
      typename E::Planes planes;
      E::unpack(*reinterpret_cast<const typename E::Block*>(p + row * stride), planes);
      for (int k = 0; k < E::kBlock; ++k) {
        const int level = E::level(planes.code[static_cast<size_t>(k)]);
        codes[k / 4 * 64 + row * 4 + k % 4] = static_cast<uint8_t>(level + Facts::kZero);
      }
      for (int leaf = 0; leaf < E::kLeaves; ++leaf) {
        scale[leaf * kPanelRows + row] = leaf_scale<E>(planes, leaf);
        offset[leaf * kPanelRows + row] = leaf_offset<E>(planes, leaf);
      }
    }
  }
};

}  // namespace
}  // namespace carat
