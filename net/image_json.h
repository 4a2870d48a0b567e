// Writes how an image is cut, alike in answers and in plans. Only the .cc files of net/ may include this
// header.
#pragma once

#include <boost/json.hpp>

#include "engine/request.h"

namespace uhd {

// Returns the fields of a report, but for what depends on caches.
boost::json::object image_json(const ImageReport& report);

}  // namespace uhd
