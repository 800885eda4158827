// One spelling for what is asked and how it is judged, so that its digest depends on nothing else: keys in
// byte order, no white space, numbers of equal value alike.
#pragma once

#include <string>

#include "containers/json.h"
#include "suites/suite.h"

namespace carat {

void append_canonical(const json::value& value, std::string& out);

/// All members of a task; of an item.
json::object to_json(const Task& task);
json::object to_json(const Item& item);

}  // namespace carat
