// The rounder with error feedback, for the list in rounders.cc.
#pragma once

#include "rounders/rounder.h"

namespace carat {

const Rounder& gptq_rounder();

}  // namespace carat
