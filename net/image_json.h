// Writes how an image is cut, alike in answers, in plans and on the command line. Only .cc files may include
// this header.
#pragma once

#include <boost/json.hpp>

#include "engine/request.h"

namespace uhd {

// Returns the fields of a report, but for what depends on caches.
boost::json::object image_json(const ImageReport& report);

// Returns the facts that no OpenAI field holds: how the images were cut, and the seconds of each stage.
boost::json::object extension_json(const Usage& usage);

}  // namespace uhd
