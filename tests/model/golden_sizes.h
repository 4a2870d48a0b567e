// Reads sizes of the goldens' tables: [width, height], or null for 0 x 0.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

#include "model/vision/slice_plan.h"

namespace uhd {

inline Size size_of(const boost::json::value& pair) {
  return pair.is_null() ? Size{} : Size{pair.at(0).to_number<int64_t>(), pair.at(1).to_number<int64_t>()};
}
// A size that is not there is 0 x 0, too.
inline Size size_of(const boost::json::object& row, std::string_view key) {
  const boost::json::value* pair = row.if_contains(key);
  return pair == nullptr ? Size{} : size_of(*pair);
}

}  // namespace uhd
