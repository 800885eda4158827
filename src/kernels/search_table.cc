#include "kernels/search_table.h"

namespace carat {

const SearchTable& search_table(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx512:
      return avx512::search_functions();
    case Isa::avx2:
      return avx2::search_functions();
#endif
    default:
      return portable::search_functions();
  }
}

}  // namespace carat
