// One atom of a codebook encoding under given scales: its best entries, and what they leave.
//
// A vector's weighted squared error with entry e and scale s is  sum w x^2 + s (s g - 2 b),  g = sum w l^2
// and b = sum w |x| l over the levels l of e. Both are sums of two halves, of which there are few (81 or 64),
// so an entry costs two additions and each scale three operations: all entries are tried, for several scales
// in one pass. Rejected: lists of neighbours of a point (llama.cpp), which know no weights and miss the best
// entry.
//
// Signs are those of the weights. Where only an even number of columns may be negative, an odd one has the
// column flipped for which that costs least, which takes away twice its part of b; the minimum is joint over
// column and entry.
//
// Included inside a target region after search_rows.h; includes nothing.

namespace carat {
namespace {

/// The halves of a codebook's vectors, as numbers of their ranks.
template <class E>
struct VectorHalves {
  static constexpr int kColumns = E::kVector / 2, kRanks = E::kVector == 8 ? 3 : 8;
  static constexpr int kCount = E::kVector == 8 ? 81 : 64;
  uint8_t half[E::kEntries][2] = {};
  constexpr VectorHalves() {
    for (int e = 0; e < E::kEntries; ++e)
      for (int j = E::kVector - 1; j >= 0; --j) {
        const int rank = E::kGrid[e] >> (E::kRankBits * j) & ((1 << E::kRankBits) - 1);
        uint8_t& at = half[e][j / kColumns];
        at = static_cast<uint8_t>(at * kRanks + rank);
      }
  }
};
template <class E>
static constexpr VectorHalves<E> kVectorHalves;

template <class E>
inline constexpr bool kEvenSigns = E::kSigns == Signs::even;
template <class E>
inline constexpr bool kShifted = E::kSigns == Signs::shift;
/// Whether a flip may fall to either of an atom's two vectors.
template <class E>
inline constexpr bool kFlipsMove = kEvenSigns<E>&& E::kVectors == 2;

/// What halves add to 2 b and g, and the least that flipping one of their columns takes from 2 b.
template <class E>
struct VectorTables {
  static constexpr int kCount = VectorHalves<E>::kCount;
  F b[2][kCount], g[2][kCount];
  F flip[2][kEvenSigns<E> ? kCount : 1];
};

/// Of two numbers of ranks the second counts more.
template <int kRanks, class Both>
CARAT_LANES void combine(const F* low, int lows, const F* high, int highs, F* out, Both both) {
  for (int h = 0; h < highs; ++h)
    for (int l = 0; l < lows; ++l) out[h * lows + l] = both(low[l], high[h]);
}

/// shift: 1 or -1 where levels are shifted. may_flip: 2 where a column of this vector must be flipped, if it
/// is known that it must be in this one; else 2.
template <class E, class W>
__attribute__((noinline)) void set_vector(const F* x, W w, F shift, F may_flip, VectorTables<E>& v) {
  constexpr int kRanks = VectorHalves<E>::kRanks, kColumns = VectorHalves<E>::kColumns;
  const auto add = [](F p, F q) __attribute__((always_inline)) { return p + q; };
  const auto least = [](F p, F q) __attribute__((always_inline)) { return lower(p, q); };
  for (int h = 0; h < 2; ++h) {
    F b[kColumns][kRanks], g[kColumns][kRanks], flip[kColumns][kRanks];
    for (int j = 0; j < kColumns; ++j) {
      const F value = x[h * kColumns + j], weight = w[h * kColumns + j];
      const F wx = 2.0f * weight * (kShifted<E> ? value : magnitude(value));
      for (int r = 0; r < kRanks; ++r) {
        F level = splat(static_cast<float>(E::kRanks[r]));
        if constexpr (kShifted<E>) level += shift;
        b[j][r] = wx * level;
        g[j][r] = weight * level * level;
        if constexpr (kEvenSigns<E>) flip[j][r] = may_flip * b[j][r];
      }
    }
    const auto fill = [&](F(&one)[kColumns][kRanks], F * out, auto both) __attribute__((always_inline)) {
      if constexpr (kColumns == 2) {
        combine<kRanks>(one[0], kRanks, one[1], kRanks, out, both);
      } else {
        F low[kRanks * kRanks], high[kRanks * kRanks];
        combine<kRanks>(one[0], kRanks, one[1], kRanks, low, both);
        combine<kRanks>(one[2], kRanks, one[3], kRanks, high, both);
        combine<kRanks>(low, kRanks * kRanks, high, kRanks * kRanks, out, both);
      }
    };
    fill(b, v.b[h], add);
    fill(g, v.g[h], add);
    if constexpr (kEvenSigns<E>) fill(flip, v.flip[h], least);
  }
}

/// best[c] <- min over entries of scale[c] g - 2 b.
template <class E, int n, bool kFlip>
__attribute__((noinline)) void try_scales(const VectorTables<E>& v, const F* scale, F* best) {
  F s[n], least[n];
  for (int c = 0; c < n; ++c) s[c] = scale[c], least[c] = splat(std::numeric_limits<float>::infinity());
  for (int e = 0; e < E::kEntries; ++e) {
    const int low = kVectorHalves<E>.half[e][0], high = kVectorHalves<E>.half[e][1];
    F b = v.b[0][low] + v.b[1][high];
    if constexpr (kFlip) b -= lower(v.flip[0][low], v.flip[1][high]);
    const F g = v.g[0][low] + v.g[1][high];
    CARAT_UNROLL
    for (int c = 0; c < n; ++c) least[c] = lower(least[c], s[c] * g - b);
  }
  for (int c = 0; c < n; ++c) best[c] = least[c];
}

/// The best entry for one scale.
struct VectorChoice {
  F cost, b, g;  ///< scale g - 2 b; 2 b; g
  I entry;

  CARAT_ALWAYS_INLINE void take(const VectorChoice& o, I where) {
    cost = where ? o.cost : cost;
    b = where ? o.b : b;
    g = where ? o.g : g;
    entry = where ? o.entry : entry;
  }
};
template <class E, bool kFlip>
__attribute__((noinline)) VectorChoice choose_entry(const VectorTables<E>& v, F scale) {
  VectorChoice best{splat(std::numeric_limits<float>::infinity()), {}, {}, {}};
  for (int e = 0; e < E::kEntries; ++e) {
    const int low = kVectorHalves<E>.half[e][0], high = kVectorHalves<E>.half[e][1];
    F b = v.b[0][low] + v.b[1][high];
    if constexpr (kFlip) b -= lower(v.flip[0][low], v.flip[1][high]);
    const F g = v.g[0][low] + v.g[1][high];
    best.take({scale * g - b, b, g, I{} + e}, scale * g - b < best.cost);
  }
  return best;
}

/// Lanes in which an odd number of an atom's weights is negative.
template <class E>
CARAT_LANES I odd_signs(const F* x) {
  I odd{};
  for (int j = 0; j < E::kAtom; ++j) odd ^= x[j] < 0.0f;
  return odd;
}

/// Adds to error[c] what of an atom's error depends on its scale, under the scales; and where a leaf's atoms
/// share their shift, to down[c] the same for shifts downwards.
template <class E, int n, class W>
CARAT_LANES void add_atom_errors(const F* x, W w, const F* scale, F* error, F* down) {
  VectorTables<E> v;
  F best[n], other[n];
  if constexpr (kShifted<E>) {
    set_vector<E, W>(x, w, splat(1), F{}, v);
    try_scales<E, n, false>(v, scale, best);
    set_vector<E, W>(x, w, splat(-1), F{}, v);
    try_scales<E, n, false>(v, scale, other);
    for (int c = 0; c < n; ++c) {
      if constexpr (E::kLeafShift)
        down[c] += scale[c] * other[c];
      else
        best[c] = lower(best[c], other[c]);
    }
  } else if constexpr (kFlipsMove<E>) {
    const I odd = odd_signs<E>(x);
    F flipped[n], other_flipped[n];
    set_vector<E, W>(x, w, F{}, splat(2), v);
    try_scales<E, n, false>(v, scale, best);
    try_scales<E, n, true>(v, scale, flipped);
    set_vector<E, W>(x + E::kVector, w + E::kVector, F{}, splat(2), v);
    try_scales<E, n, false>(v, scale, other);
    try_scales<E, n, true>(v, scale, other_flipped);
    for (int c = 0; c < n; ++c)
      best[c] = odd ? lower(flipped[c] + other[c], best[c] + other_flipped[c]) : best[c] + other[c];
  } else {
    static_assert(E::kVectors == 1);
    const F may_flip = kEvenSigns<E> ? (odd_signs<E>(x) ? splat(2) : F{}) : F{};
    set_vector<E, W>(x, w, F{}, may_flip, v);
    try_scales<E, n, kEvenSigns<E>>(v, scale, best);
  }
  for (int c = 0; c < n; ++c) error[c] += scale[c] * best[c];
}

/// What a leaf's error is under each of n scales, without what depends on weights alone.
template <class E, int n, class W>
CARAT_LANES void leaf_errors(const F* x, W w, const F* scale, F* error) {
  F down[n];
  for (int c = 0; c < n; ++c) error[c] = down[c] = F{};
  for (int j = 0; j < E::kLeaf; j += E::kAtom) add_atom_errors<E, n>(x + j, w + j, scale, error, down);
  if constexpr (kShifted<E>)
    if constexpr (E::kLeafShift)
      for (int c = 0; c < n; ++c) error[c] = lower(error[c], down[c]);
}

/// The shift of a leaf whose atoms share it: 1 or -1.
template <class E, class W>
CARAT_LANES F leaf_shift(const F* x, W w, F scale) {
  F up{}, down{};
  for (int j = 0; j < E::kLeaf; j += E::kAtom) add_atom_errors<E, 1>(x + j, w + j, &scale, &up, &down);
  return down < up ? splat(-1) : splat(1);
}

/// An atom's code, 2 b and g.
struct AtomChoice {
  I code;
  F b, g;
};

/// Of the columns of vector `of`, the one whose flip costs least.
template <class E, class W>
CARAT_LANES void flip_one(const F* x, W w, const I* entry, I where, I of, I& signs) {
  for (int r = 0; r < kSearchLanes; ++r) {
    if (!where[r]) continue;
    const int first = of[r] * E::kVector;
    const int8_t* level = kCodebookLevels<E>.entry[entry[of[r]][r]];
    int column = 0;
    float least = std::numeric_limits<float>::infinity();
    for (int j = 0; j < E::kVector; ++j) {
      const float cost = F(w[first + j])[r] * F(magnitude(x[first + j]))[r] * static_cast<float>(level[j]);
      if (cost < least) least = cost, column = first + j;
    }
    signs[r] ^= 1 << column;
  }
}

/// shift: of the leaf, where its atoms share it.
template <class E, class W>
CARAT_LANES AtomChoice choose_atom(const F* x, W w, F scale, F shift) {
  VectorTables<E> v;
  AtomChoice out;
  if constexpr (kShifted<E>) {
    VectorChoice best;
    I down;
    if constexpr (E::kLeafShift) {
      set_vector<E, W>(x, w, shift, F{}, v);
      best = choose_entry<E, false>(v, scale);
      down = shift < 0.0f;
    } else {
      set_vector<E, W>(x, w, splat(1), F{}, v);
      best = choose_entry<E, false>(v, scale);
      set_vector<E, W>(x, w, splat(-1), F{}, v);
      const VectorChoice other = choose_entry<E, false>(v, scale);
      down = other.cost < best.cost;
      best.take(other, down);
    }
    out = {best.entry | (down & (1 << E::kEntryBits)), best.b, best.g};
  } else {
    I signs{};
    for (int j = 0; j < E::kAtom; ++j) signs |= (x[j] < 0.0f) & (1 << j);
    const I odd = kEvenSigns<E> ? odd_signs<E>(x) : I{};
    I entry[E::kVectors];
    if constexpr (kFlipsMove<E>) {
      set_vector<E, W>(x, w, F{}, splat(2), v);
      VectorChoice first = choose_entry<E, false>(v, scale);
      const VectorChoice first_flipped = choose_entry<E, true>(v, scale);
      set_vector<E, W>(x + E::kVector, w + E::kVector, F{}, splat(2), v);
      VectorChoice second = choose_entry<E, false>(v, scale);
      const VectorChoice second_flipped = choose_entry<E, true>(v, scale);
      const I of = -(first.cost + second_flipped.cost < first_flipped.cost + second.cost);
      first.take(first_flipped, odd & (of == 0));
      second.take(second_flipped, odd & (of == 1));
      entry[0] = first.entry, entry[1] = second.entry;
      flip_one<E>(x, w, entry, odd, of, signs);
      out = {entry[0] | entry[1] << E::kEntryBits, first.b + second.b, first.g + second.g};
    } else {
      set_vector<E, W>(x, w, F{}, odd ? splat(2) : F{}, v);
      const VectorChoice best = choose_entry<E, kEvenSigns<E>>(v, scale);
      entry[0] = best.entry;
      if constexpr (kEvenSigns<E>) flip_one<E>(x, w, entry, odd, I{}, signs);
      out = {entry[0], best.b, best.g};
    }
    out.code |= signs << (E::kVectors * E::kEntryBits);
  }
  return out;
}

}  // namespace
}  // namespace carat
